//! How well words match: Okapi BM25 (Robertson and Zaragoza, "The Probabilistic
//! Relevance Framework: BM25 and Beyond", 2009), with the inverse document
//! frequency that cannot be negative: ln(1 + (N − n + ½) / (n + ½)).

use std::collections::{HashMap, HashSet};

/// How soon more of the same word counts no more.
const K1: f32 = 1.2;

/// Documents by their terms. A document is known by the order it came in.
#[derive(Debug, Clone)]
pub(crate) struct Bm25 {
    /// Documents that hold a term, in their order, with how often.
    postings: HashMap<String, Vec<(u32, u32)>>,
    /// Terms of each document.
    lengths: Vec<u32>,
    total: u64,
    /// How much a long document counts less: 0 (not at all) to 1.
    b: f32,
}

impl Bm25 {
    pub(crate) fn new(b: f32) -> Self {
        Self { postings: HashMap::new(), lengths: Vec::new(), total: 0, b }
    }

    /// Adds terms to a document: to the next one, or to one that is there.
    pub(crate) fn add(&mut self, document: usize, terms: &[String]) {
        if document >= self.lengths.len() {
            self.lengths.resize(document + 1, 0);
        }
        let (Ok(number), count) = (u32::try_from(document), terms.len()) else { return };
        self.lengths[document] = self.lengths[document].saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.total += count as u64;
        for term in terms {
            let found = self.postings.entry(term.clone()).or_default();
            if found.last().is_none_or(|(newest, _)| *newest < number) {
                found.push((number, 1));
                continue;
            }
            match found.binary_search_by_key(&number, |(of, _)| *of) {
                Ok(place) => found[place].1 = found[place].1.saturating_add(1),
                Err(place) => found.insert(place, (number, 1)),
            }
        }
    }

    /// The score of every document for these terms, each counted once.
    pub(crate) fn scores(&self, terms: &[String]) -> Vec<f32> {
        let mut scores = vec![0.0; self.lengths.len()];
        let all = self.lengths.len() as f32;
        let average = (self.total as f32 / all).max(1.0);
        let terms: HashSet<&String> = terms.iter().collect();
        let mut terms: Vec<&String> = terms.into_iter().collect();
        // Sums of floats depend on their order.
        terms.sort_unstable();
        for term in terms {
            let Some(found) = self.postings.get(term) else { continue };
            let holding = found.len() as f32;
            let rarity = (1.0 + (all - holding + 0.5) / (holding + 0.5)).ln();
            for (document, times) in found {
                let (document, times) = (*document as usize, *times as f32);
                let long = 1.0 - self.b + self.b * self.lengths[document] as f32 / average;
                scores[document] += rarity * times * (K1 + 1.0) / (times + K1 * long);
            }
        }
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms;

    #[test]
    fn rare_words_in_short_documents_count_most() {
        let mut index = Bm25::new(0.75);
        for (document, text) in ["tea and tea", "coffee tea", "a long walk with tea at the lake"].iter().enumerate() {
            index.add(document, &terms(text));
        }
        let scores = index.scores(&terms("coffee or tea"));
        assert!(scores[1] > scores[0] && scores[0] > scores[2] && scores[2] > 0.0, "{scores:?}");
        assert_eq!(index.scores(&terms("sugar")), [0.0, 0.0, 0.0]);
    }

    #[test]
    fn document_that_grows_is_the_same_as_one_that_came_whole() {
        let (mut grown, mut whole) = (Bm25::new(0.75), Bm25::new(0.75));
        grown.add(0, &terms("a walk"));
        grown.add(1, &terms("tea"));
        grown.add(0, &terms("with tea"));
        whole.add(0, &terms("a walk with tea"));
        whole.add(1, &terms("tea"));
        let mut query = terms("tea");
        assert_eq!(grown.scores(&query), whole.scores(&query));
        query.push("walk".into());
        assert_eq!(grown.scores(&query), whole.scores(&query));
    }
}
