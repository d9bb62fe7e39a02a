//! The indexes of the scopes that were searched lately, brought up to date before
//! each search.
//!
//! An index is a cache: the database says how much of a scope has changed, so
//! that what another replica stored is found, and what it erased is not.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use recall::{Embedding, Index, Question};
use tokio::sync::Mutex;

use crate::ports::{Changes, MemoryError, Passages, Stored};
use crate::scope::Scope;

/// Indexes that are kept, at most.
const SCOPES: usize = 64;
/// Passages of all that are kept, at most, unless one scope alone has more.
const PASSAGES: usize = 200_000;

pub(crate) struct Indexes {
    passages: Arc<dyn Passages>,
    /// The model whose vectors are compared; empty for none.
    model: String,
    known: Mutex<HashMap<Scope, Arc<Mutex<Known>>>>,
}

/// An index, and how far it goes.
#[derive(Default)]
struct Known {
    index: Index,
    changes: Changes,
    position: i64,
    /// The newest passage, by position and id.
    newest: (i64, String),
    /// Passages without vectors, by position and id, with their numbers.
    lacking: BTreeMap<(i64, String), usize>,
}

/// A passage that was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) speaker: String,
    pub(crate) text: String,
    pub(crate) at_ms: i64,
}

impl Indexes {
    pub(crate) fn new(passages: Arc<dyn Passages>, model: String) -> Self {
        Self { passages, model, known: Mutex::default() }
    }

    /// The passages of a scope that answer a question best, best first.
    pub(crate) async fn search(
        &self,
        scope: &Scope,
        query: String,
        embedding: Option<Embedding>,
        limit: usize,
    ) -> Result<Vec<Found>, MemoryError> {
        let known = self.known(scope).await;
        let mut guard = known.lock_owned().await;
        self.refresh(scope, &mut guard).await?;
        // Ranking is work for a processor, not for the threads that answer.
        let searched = tokio::task::spawn_blocking(move || {
            let question = Question { text: &query, embedding: embedding.as_ref() };
            let hits = guard.index.search(&question, limit);
            hits.into_iter().map(|hit| found(hit.passage)).collect::<Vec<_>>()
        });
        Ok(searched.await.unwrap_or_default())
    }

    async fn known(&self, scope: &Scope) -> Arc<Mutex<Known>> {
        let mut known = self.known.lock().await;
        if !known.contains_key(scope) {
            let held: usize =
                known.values().filter_map(|known| known.try_lock().ok()).map(|known| known.index.len()).sum();
            if known.len() >= SCOPES || held > PASSAGES {
                known.clear();
            }
        }
        Arc::clone(known.entry(scope.clone()).or_default())
    }

    async fn refresh(&self, scope: &Scope, known: &mut Known) -> Result<(), MemoryError> {
        let changes = self.passages.changes(scope).await?;
        if changes == known.changes && !known.index.is_empty() {
            return Ok(());
        }
        if !known.index.is_empty() && changes.erased == known.changes.erased {
            let since = match known.lacking.first_key_value() {
                Some((position, _)) if changes.embedded != known.changes.embedded => position.0 - 1,
                _ => known.position,
            };
            let said = known.add(self.passages.after(scope, since, &self.model).await?);
            // What was stored late stands before what is known: then all is read anew.
            if known.changes.said + said >= changes.said {
                known.changes = Changes { said: known.changes.said + said, ..changes };
                return Ok(());
            }
        }
        *known = Known::default();
        known.add(self.passages.after(scope, i64::MIN, &self.model).await?);
        known.changes = changes;
        Ok(())
    }
}

impl Known {
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
            (self.position, self.newest) = (position, place);
            self.index.push(passage);
        }
        new
    }
}

fn found(passage: &recall::Passage) -> Found {
    let recall::Passage { id, speaker, text, at_ms, .. } = passage;
    Found { id: id.clone(), speaker: speaker.clone(), text: text.clone(), at_ms: *at_ms }
}
