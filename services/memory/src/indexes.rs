//! The indexes of the scopes that were searched lately, brought up to date before
//! each search.
//!
//! An index is a cache: the database says how much of a scope has changed, so
//! that what another replica stored is found, and what it erased is not.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use recall::{Hit, Index, Question};
use tokio::sync::Mutex;
use tracing::warn;

use crate::ports::{Changes, MemoryError, Passages, Stored};
use crate::scope::Scope;
use crate::search::Asked;

/// Indexes that are kept, at most; those that were not asked for longest go.
const SCOPES: usize = 1024;
/// Passages that are read at once.
const PAGE: u32 = 1000;
/// How long vectors that are made meanwhile are not looked for again, for each passage
/// of the index: looking reads them all.
const UNREAD: Duration = Duration::from_micros(100);
/// Passages of all that are kept, at most, unless one scope alone has more.
const PASSAGES: usize = 100_000;

/// Where passages stand that say the same as a better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repetitions {
    /// Beside it: whoever compares needs them all.
    AsRanked,
    /// Behind what is different.
    Behind,
}

pub(crate) struct Indexes {
    passages: Arc<dyn Passages>,
    /// The model whose vectors are compared; empty for none.
    model: String,
    /// Whether another store compares them.
    elsewhere: bool,
    kept: Mutex<Kept>,
}

/// The indexes that are kept.
#[derive(Default)]
struct Kept {
    scopes: HashMap<Scope, Entry>,
    /// Searches so far.
    searches: u64,
}

#[derive(Default)]
struct Entry {
    known: Arc<Mutex<Known>>,
    /// Its passages at the last search.
    passages: usize,
    /// The last search of it.
    used: u64,
}

/// An index, and how far it goes.
#[derive(Default)]
struct Known {
    index: Index,
    /// What the database had said when it was read; none before.
    changes: Option<Changes>,
    /// The newest passage, by position and id.
    newest: (i64, String),
    /// Passages without vectors, by position and id, with their numbers.
    lacking: BTreeMap<(i64, String), usize>,
    /// When vectors were read that others lacked.
    vectors_read: Option<Instant>,
    /// The numbers of all by their ids, where another store names them.
    numbers: Option<HashMap<String, usize>>,
}

/// A passage that was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) speaker: String,
    pub(crate) text: String,
    pub(crate) at_ms: i64,
    /// How well it fits, as a part of the best.
    pub(crate) fit: f64,
    /// How near it is to the question by their vectors, where both have one.
    pub(crate) meaning: Option<f32>,
    /// Whether it holds a term of the question.
    pub(crate) shares_term: bool,
}

impl Indexes {
    pub(crate) fn new(passages: Arc<dyn Passages>, model: String, elsewhere: bool) -> Self {
        Self { passages, model, elsewhere, kept: Mutex::default() }
    }

    /// The passages of a scope that answer a question best, best first. `near` is what
    /// another store says of their meaning.
    pub(crate) async fn search(
        &self,
        scope: &Scope,
        asked: &Asked,
        near: Option<Vec<(String, f32)>>,
        (limit, repetitions): (usize, Repetitions),
    ) -> Result<Vec<Found>, MemoryError> {
        let known = self.kept.lock().await.of(scope);
        let mut guard = known.lock_owned().await;
        self.refresh(scope, &mut guard).await?;
        self.kept.lock().await.weigh(scope, guard.index.len());
        let (query, embedding) = (asked.text.clone(), asked.embedding.clone());
        // Ranking is work for a processor, not for the threads that answer.
        let searched = tokio::task::spawn_blocking(move || {
            let near = near.map(|near| guard.numbered(near));
            let question = Question { text: &query, embedding: embedding.as_ref(), near: near.as_deref() };
            let hits = match repetitions {
                Repetitions::AsRanked => guard.index.search(&question, limit),
                Repetitions::Behind => guard.index.search_diverse(&question, limit),
            };
            let best = hits.first().map_or(1.0, |hit| hit.score).max(f32::MIN_POSITIVE);
            hits.into_iter().map(|hit| found(&hit, best)).collect::<Vec<_>>()
        });
        Ok(searched.await.unwrap_or_else(|err| {
            warn!(error = %err, "a search broke off");
            Vec::new()
        }))
    }

    async fn refresh(&self, scope: &Scope, known: &mut Known) -> Result<(), MemoryError> {
        let changes = self.passages.changes(scope).await?;
        if known.changes == Some(changes) {
            return Ok(());
        }
        if let Some(read) = known.changes.filter(|read| read.erased == changes.erased && !known.index.is_empty()) {
            let pause = UNREAD.saturating_mul(u32::try_from(known.index.len()).unwrap_or(u32::MAX));
            let is_due = known.vectors_read.is_none_or(|at| at.elapsed() >= pause);
            let lacking = known.lacking.first_key_value().map(|((position, _), _)| (position - 1, String::new()));
            let (since, embedded) = match lacking {
                Some(first) if changes.embedded != read.embedded && is_due => {
                    known.vectors_read = Some(Instant::now());
                    (first, changes.embedded)
                }
                // While much is embedded, what has become of it is not read for each question.
                Some(_) => (known.newest.clone(), read.embedded),
                None => (known.newest.clone(), changes.embedded),
            };
            let said = self.read(scope, since, known).await?;
            // What was stored late stands before what is known: then all is read anew.
            if read.said + said >= changes.said {
                known.changes = Some(Changes { said: read.said + said, embedded, ..changes });
                return Ok(());
            }
        }
        *known = Known { numbers: self.elsewhere.then(HashMap::new), ..Known::default() };
        self.read(scope, (i64::MIN, String::new()), known).await?;
        known.changes = Some(changes);
        Ok(())
    }

    /// Adds what is stored after a place, page by page; says how much is new.
    async fn read(&self, scope: &Scope, mut place: (i64, String), known: &mut Known) -> Result<i64, MemoryError> {
        let mut new = 0;
        loop {
            let page = self.passages.after(scope, (place.0, &place.1), &self.model, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            if let Some(last) = page.last() {
                place = (last.position, last.passage.id.clone());
            }
            new += known.add(page);
            if is_last {
                return Ok(new);
            }
        }
    }
}

impl Kept {
    /// The index of a scope, new or kept.
    fn of(&mut self, scope: &Scope) -> Arc<Mutex<Known>> {
        self.searches += 1;
        let entry = self.scopes.entry(scope.clone()).or_default();
        entry.used = self.searches;
        Arc::clone(&entry.known)
    }

    /// Notes how large an index has become, and lets others go for it.
    fn weigh(&mut self, scope: &Scope, passages: usize) {
        if let Some(entry) = self.scopes.get_mut(scope) {
            entry.passages = passages;
        }
        while self.scopes.len() > SCOPES || self.scopes.values().map(|entry| entry.passages).sum::<usize>() > PASSAGES {
            let others = self.scopes.iter().filter(|(other, _)| *other != scope);
            let oldest = others.min_by_key(|(_, entry)| entry.used).map(|(oldest, _)| oldest.clone());
            let Some(oldest) = oldest else { return };
            self.scopes.remove(&oldest);
        }
    }
}

impl Known {
    /// Passages by their numbers; those that are not known here are left out.
    fn numbered(&self, near: Vec<(String, f32)>) -> Vec<(usize, f32)> {
        let number = |id: &String| self.numbers.as_ref()?.get(id).copied();
        near.iter().filter_map(|(id, cosine)| Some((number(id)?, *cosine))).collect()
    }

    /// Adds what is new, and vectors to what had none; says how much is new.
    fn add(&mut self, passages: Vec<Stored>) -> i64 {
        let mut new = 0;
        for Stored { position, passage } in passages {
            let place = (position, passage.id.clone());
            if place <= self.newest {
                if let (Some(number), Some(vectors)) = (self.lacking.get(&place), &passage.vectors) {
                    self.index.attach(*number, vectors.clone());
                    self.lacking.remove(&place);
                }
                continue;
            }
            new += 1;
            if passage.vectors.is_none() {
                self.lacking.insert(place.clone(), self.index.len());
            }
            if let Some(numbers) = &mut self.numbers {
                numbers.insert(passage.id.clone(), self.index.len());
            }
            self.newest = place;
            self.index.push(passage);
        }
        new
    }
}

fn found(hit: &Hit<'_>, best: f32) -> Found {
    let recall::Passage { id, speaker, text, at_ms, .. } = hit.passage;
    let fit = f64::from((hit.score / best).clamp(0.0, 1.0));
    let (meaning, shares_term) = (hit.meaning, hit.shares_term);
    Found { id: id.clone(), speaker: speaker.clone(), text: text.clone(), at_ms: *at_ms, fit, meaning, shares_term }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_not_asked_for_longest_go_first() {
        let scope = |name: usize| Scope::Person(name.to_string());
        let mut kept = Kept::default();
        for name in 0..SCOPES {
            kept.of(&scope(name));
            kept.weigh(&scope(name), 1);
        }
        kept.of(&scope(0));
        kept.of(&scope(SCOPES));
        kept.weigh(&scope(SCOPES), 1);
        assert_eq!(kept.scopes.len(), SCOPES);
        assert!(kept.scopes.contains_key(&scope(0)) && !kept.scopes.contains_key(&scope(1)));
        // One that is larger than all may be stays alone.
        kept.weigh(&scope(0), PASSAGES + 1);
        assert_eq!(kept.scopes.keys().collect::<Vec<_>>(), [&scope(0)]);
    }
}
