//! From a text to the terms that it is found by.

use rust_stemmers::{Algorithm, Stemmer};

/// Words that stand in every text, sorted.
const STOP_WORDS: &[&str] = &[
    "a", "about", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because", "been", "being", "both", "but",
    "by", "can", "could", "d", "did", "do", "does", "doing", "during", "each", "few", "for", "from", "further", "had",
    "has", "have", "he", "her", "here", "hers", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its",
    "itself", "just", "likely", "ll", "m", "me", "more", "most", "my", "no", "nor", "not", "now", "of", "off", "on",
    "once", "only", "or", "other", "our", "out", "over", "own", "re", "s", "same", "she", "should", "so", "some",
    "such", "t", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "through",
    "to", "too", "under", "until", "up", "us", "ve", "very", "was", "we", "were", "what", "when", "where", "which",
    "while", "who", "whom", "why", "will", "with", "would", "you", "your", "yours",
];

/// Most terms of one text: what follows is not found by its words.
const TERMS: usize = 4096;

/// The words of a text without those that stand in every one, lower-case and
/// stemmed (Snowball's English stemmer), in their order.
pub fn terms(text: &str) -> Vec<String> {
    let stemmer = Stemmer::create(Algorithm::English);
    let lower = text.to_lowercase().replace('’', "'");
    lower
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .map(|word| word.trim_matches('\'').trim_end_matches("'s").replace('\'', ""))
        .filter(|word| !word.is_empty() && STOP_WORDS.binary_search(&word.as_str()).is_err())
        .take(TERMS)
        .map(|word| stemmer.stem(&word).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_stems_without_common_words() {
        assert_eq!(terms("What did Caroline's friends paint?"), ["carolin", "friend", "paint"]);
        assert_eq!(terms("It’s painted; THEY'RE painting!"), ["paint", "theyr", "paint"]);
        assert!(terms("what is it? ''").is_empty());
    }

    #[test]
    fn common_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }
}
