//! Passages, and which of them answer a question.
//!
//! A passage is ranked by what it says, by what stands beside it, and by the
//! session it belongs to: an answer seldom repeats the words of the question
//! that it answers.

mod best; // The best of many scores.
mod diverse; // Of what says the same, the best.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::best::{best_of, better};
use self::diverse::{diverse, needed};
use crate::bm25::Bm25;
use crate::late::{Embedding, TokenVectors};
use crate::texts::{Compared, Texts};
use crate::weights::{Signal, Weights};
use crate::words::terms;

/// Passages whose words are compared one by one, at most; the others were
/// found wanting by cheaper signals.
const CANDIDATES: usize = 1000;
/// How much a match beside a passage counts.
const BESIDE: f32 = 0.9;

/// Something that was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    pub id: String,
    /// What it was said in one go with.
    pub session: String,
    pub speaker: String,
    pub text: String,
    pub at_ms: i64,
    /// Of its text after the passage before it, and of the words of its own.
    pub vectors: Option<Embedding>,
}

pub struct Question<'a> {
    pub text: &'a str,
    pub embedding: Option<&'a Embedding>,
    /// The passages nearest to it with their cosines, where another compares vectors;
    /// all others are as far as the farthest of these.
    pub near: Option<&'a [(usize, f32)]>,
}

/// A passage that was found, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit<'a> {
    number: usize,
    pub passage: &'a Passage,
    pub score: f32,
    /// How near it is to the question by their vectors, from −1 to 1; none where either
    /// has none.
    pub meaning: Option<f32>,
    /// Whether it holds a term of the question.
    pub shares_term: bool,
}

/// Where a passage stands, and what of it no question changes.
#[derive(Debug, Clone, Copy)]
struct Place {
    session: usize,
    before: Option<usize>,
    after: Option<usize>,
    /// The number of its speaker.
    speaker: Option<usize>,
    /// Whether it asks.
    asks: bool,
    /// Whether it has vectors.
    is_embedded: bool,
    /// The logarithm of its length in terms, plus one.
    length: f32,
}

/// Passages in the order in which they were said.
#[derive(Debug, Clone)]
pub struct Index {
    passages: Vec<Passage>,
    places: Vec<Place>,
    /// The vectors of their texts.
    texts: Texts,
    /// The vectors of their words.
    tokens: Vec<Option<TokenVectors>>,
    /// Terms of each passage, by its speaker's name and text.
    terms: Vec<Vec<String>>,
    /// Everybody who spoke.
    speakers: Vec<String>,
    sessions: HashMap<String, usize>,
    /// The newest passage of each session.
    newest: Vec<usize>,
    alone: Bm25,
    around: Bm25,
    of_session: Bm25,
    /// Passages that hold a piece of the model's vocabulary.
    pieces: HashMap<u32, u32>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            passages: Vec::new(),
            places: Vec::new(),
            texts: Texts::default(),
            tokens: Vec::new(),
            terms: Vec::new(),
            speakers: Vec::new(),
            sessions: HashMap::new(),
            newest: Vec::new(),
            alone: Bm25::new(0.75),
            around: Bm25::new(0.75),
            of_session: Bm25::new(0.5),
            pieces: HashMap::new(),
        }
    }
}

/// How near passages are to a question by their vectors: from −1 to 1.
struct Meanings {
    own: Vec<f32>,
    of_session: Vec<f32>,
    /// Those that were compared, if not all were; of the others nothing is known.
    compared: Option<Vec<bool>>,
    /// Whether another compares them: then nothing is embedded here.
    elsewhere: bool,
}

impl Meanings {
    /// None for a question without a vector.
    fn of(index: &Index, question: &Question<'_>) -> Option<Self> {
        let (own, compared) = match (question.near, question.embedding) {
            (Some(near), _) => {
                let farthest = near.iter().map(|(_, cosine)| *cosine).reduce(f32::min).unwrap_or(0.0);
                let mut own = vec![farthest; index.len()];
                for (number, cosine) in near {
                    if let Some(own) = own.get_mut(*number) {
                        *own = *cosine;
                    }
                }
                (own, Some(among(index.len(), near.iter().map(|(number, _)| *number))))
            }
            (None, Some(asked)) => {
                let Compared { similarities, near } = index.texts.compare(&asked.text);
                (similarities, near.map(|near| among(index.len(), near)))
            }
            (None, None) => return None,
        };
        let mut of_session = vec![f32::MIN; index.sessions.len()];
        for (place, own) in index.places.iter().zip(&own) {
            of_session[place.session] = of_session[place.session].max(*own);
        }
        Some(Self { own, of_session, compared, elsewhere: question.near.is_some() })
    }

    /// That of a passage alone, where it is known.
    fn of_one(&self, number: usize, place: &Place) -> Option<f32> {
        let is_compared = self.compared.as_ref().is_none_or(|compared| compared[number]);
        let is_known = is_compared && (place.is_embedded || self.elsewhere);
        is_known.then(|| self.own[number])
    }

    /// The best of a passage and those beside it.
    fn around(&self, number: usize, place: &Place) -> f32 {
        let beside = [place.before, place.after].into_iter().flatten().map(|beside| self.own[beside] * BESIDE);
        beside.fold(self.own[number], f32::max)
    }
}

impl Index {
    pub fn len(&self) -> usize {
        self.passages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.passages.is_empty()
    }

    pub fn passages(&self) -> &[Passage] {
        &self.passages
    }

    /// Adds what was said after all others of its session.
    pub fn push(&mut self, mut passage: Passage) {
        let number = self.passages.len();
        let known = self.sessions.len();
        let session = *self.sessions.entry(passage.session.clone()).or_insert(known);
        let before = self.newest.get(session).copied();
        match before {
            Some(before) => {
                self.newest[session] = number;
                self.places[before].after = Some(number);
            }
            None => self.newest.push(number),
        }
        let speaker = self.speaker(&passage.speaker);
        let own = [terms(&passage.speaker), terms(&passage.text)].concat();
        self.alone.add(number, &own);
        if let Some(before) = before {
            self.around.add(before, &own);
            self.around.add(number, &self.terms[before]);
        }
        self.around.add(number, &own);
        self.around.add(number, &date_terms(passage.at_ms));
        self.of_session.add(session, &own);
        let length = (1.0 + own.len() as f32).ln();
        self.places.push(Place {
            session,
            before,
            after: None,
            speaker,
            asks: asks(&passage.text),
            is_embedded: false,
            length,
        });
        self.terms.push(own);
        let vectors = passage.vectors.take();
        self.passages.push(passage);
        self.texts.push();
        self.tokens.push(None);
        if let Some(vectors) = vectors {
            self.attach(number, vectors);
        }
    }

    /// Adds what a model made of a passage, which is known by the order it came in.
    pub fn attach(&mut self, number: usize, vectors: Embedding) {
        let Some(place) = self.places.get_mut(number).filter(|place| !place.is_embedded) else { return };
        place.is_embedded = true;
        self.texts.set(number, &vectors.text);
        if let Some(tokens) = &vectors.tokens {
            let mut pieces = tokens.pieces().to_vec();
            pieces.sort_unstable();
            pieces.dedup();
            for piece in pieces {
                *self.pieces.entry(piece).or_default() += 1;
            }
        }
        self.tokens[number] = vectors.tokens;
    }

    /// The number of a speaker; none for nobody.
    fn speaker(&mut self, name: &str) -> Option<usize> {
        if name.is_empty() {
            return None;
        }
        let known = self.speakers.iter().position(|known| known == name);
        known.or_else(|| {
            self.speakers.push(name.to_owned());
            Some(self.speakers.len() - 1)
        })
    }

    /// The passages that answer a question best, best first; of those that say the same,
    /// all but the best stand behind what is different.
    pub fn search_diverse(&self, question: &Question<'_>, limit: usize) -> Vec<Hit<'_>> {
        let best = self.search(question, needed(limit));
        diverse(best, limit, |hit| &self.terms[hit.number]).into_iter().take(limit).collect()
    }

    /// The passages that answer a question best, best first.
    pub fn search(&self, question: &Question<'_>, limit: usize) -> Vec<Hit<'_>> {
        let has_words = question.embedding.and_then(|embedding| embedding.tokens.as_ref()).is_some();
        let weights = match (has_words, question.embedding.is_some() || question.near.is_some()) {
            (true, _) => Weights::HYBRID,
            (false, true) => Weights::DENSE,
            (false, false) => Weights::LEXICAL,
        };
        let meaning = Meanings::of(self, question);
        let asked = terms(question.text);
        let mut scores = self.cheap(&asked, meaning.as_ref(), &weights);
        let mut best = best_of(&scores, if has_words { CANDIDATES.max(limit) } else { limit });
        if has_words {
            self.compare_words(question, &best, &weights, &mut scores);
            best.sort_unstable_by(|one, other| better(&scores, *one, *other));
        }
        let hit = |number: usize| Hit {
            number,
            passage: &self.passages[number],
            score: scores[number],
            meaning: meaning.as_ref().and_then(|meaning| meaning.of_one(number, &self.places[number])),
            shares_term: self.terms[number].iter().any(|term| asked.contains(term)),
        };
        best.into_iter().take(limit).map(hit).collect()
    }

    /// The score of every passage by the signals that are quick to find.
    fn cheap(&self, asked: &[String], meaning: Option<&Meanings>, weights: &Weights) -> Vec<f32> {
        let (alone, around) = (part_of_best(self.alone.scores(asked)), part_of_best(self.around.scores(asked)));
        let of_session = part_of_best(self.of_session.scores(asked));
        let named = self.named(asked);
        let mut scores = Vec::with_capacity(self.passages.len());
        for (number, place) in self.places.iter().enumerate() {
            let answers = place.before.is_some_and(|before| self.places[before].asks);
            let is_named = named.is_some() && named == place.speaker;
            let mut score = alone[number] * weights.of(Signal::Words)
                + around[number] * weights.of(Signal::WordsAround)
                + of_session[place.session] * weights.of(Signal::WordsOfSession)
                + part(is_named) * weights.of(Signal::Speaker)
                + part(place.asks) * weights.of(Signal::Asks)
                + part(answers) * weights.of(Signal::Answers)
                + place.length * weights.of(Signal::Length);
            if let Some(meaning) = meaning {
                score += meaning.own[number] * weights.of(Signal::Meaning)
                    + meaning.around(number, place) * weights.of(Signal::MeaningAround)
                    + meaning.of_session[place.session] * weights.of(Signal::MeaningOfSession);
            }
            scores.push(score);
        }
        scores
    }

    /// Compares the question's words with those of the candidates, and adds what that
    /// says to their scores.
    fn compare_words(&self, question: &Question<'_>, candidates: &[usize], weights: &Weights, scores: &mut [f32]) {
        let Some(asked) = question.embedding.and_then(|embedding| embedding.tokens.as_ref()) else { return };
        let all = self.passages.len() as f32;
        let rarity = |piece: &u32| {
            let holding = *self.pieces.get(piece).unwrap_or(&0) as f32;
            (1.0 + (all - holding + 0.5).max(0.0) / (holding + 0.5)).ln()
        };
        let rarities: Vec<f32> = asked.pieces().iter().map(rarity).collect();
        let total = rarities.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        let weigh =
            |nearest: &[f32]| nearest.iter().zip(&rarities).map(|(near, rarity)| near * rarity).sum::<f32>() / total;

        let mut nearest: HashMap<usize, Vec<f32>> = HashMap::with_capacity(candidates.len());
        let mut of_session: HashMap<usize, Vec<f32>> = HashMap::new();
        for number in candidates {
            let Some(tokens) = &self.tokens[*number] else { continue };
            let near = asked.nearest(tokens);
            let best = of_session.entry(self.places[*number].session).or_insert_with(|| near.clone());
            raise(best, &near, 1.0);
            nearest.insert(*number, near);
        }
        for number in candidates {
            let Some(own) = nearest.get(number) else { continue };
            let place = self.places[*number];
            let mut around = own.clone();
            for beside in [place.before, place.after].into_iter().flatten().filter_map(|beside| nearest.get(&beside)) {
                raise(&mut around, beside, BESIDE);
            }
            let session = of_session.get(&place.session).map_or(0.0, |best| weigh(best));
            scores[*number] += weigh(own) * weights.of(Signal::MeaningOfWords)
                + weigh(&around) * weights.of(Signal::MeaningOfWordsAround)
                + session * weights.of(Signal::MeaningOfWordsOfSession);
        }
    }

    /// The one speaker whom a question names, by every term of the name.
    fn named(&self, asked: &[String]) -> Option<usize> {
        let mut named = (0..self.speakers.len()).filter(|speaker| {
            let name = terms(&self.speakers[*speaker]);
            !name.is_empty() && name.iter().all(|term| asked.contains(term))
        });
        named.next().filter(|_| named.next().is_none())
    }
}

/// Which of so many numbers are among some.
fn among(count: usize, numbers: impl IntoIterator<Item = usize>) -> Vec<bool> {
    let mut among = vec![false; count];
    for number in numbers {
        if let Some(is_among) = among.get_mut(number) {
            *is_among = true;
        }
    }
    among
}

fn part(holds: bool) -> f32 {
    f32::from(u8::from(holds))
}

/// Raises each value to the other's, as far as that counts.
fn raise(values: &mut [f32], others: &[f32], counts: f32) {
    for (value, other) in values.iter_mut().zip(others) {
        *value = value.max(other * counts);
    }
}

fn part_of_best(mut scores: Vec<f32>) -> Vec<f32> {
    let best = scores.iter().copied().fold(0.0, f32::max);
    if best > 0.0 {
        scores.iter_mut().for_each(|score| *score /= best);
    }
    scores
}

fn asks(text: &str) -> bool {
    text.trim_end().ends_with('?')
}

/// Day, month and year, as people write them.
fn date_terms(at_ms: i64) -> Vec<String> {
    let Ok(at) = Timestamp::from_millisecond(at_ms) else { return Vec::new() };
    terms(&at.to_zoned(TimeZone::UTC).strftime("%-d %B %Y").to_string())
}

#[cfg(test)]
mod tests;
