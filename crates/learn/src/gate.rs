//! Compares a new statement with what is known: it is added, merged, supersedes
//! something, or is dropped.
//!
//! Thresholds are those that MyPalClara's users know; merging is stricter: only a
//! statement that says all that the old one says, and more, takes its place. Two
//! that are merely alike ("likes tea", "likes coffee") are two memories.

use crate::contradiction::{Layer, contradiction, denies, subject};
use crate::strength::distinct;

/// Alike in meaning: the same.
const SAME: f64 = 0.95;
/// Alike in words: the same.
const SAME_WORDS: f64 = 0.9;
/// Alike enough for one to take the other's place.
const ALIKE: f64 = 0.75;
/// How sure a contradiction must be where the two are not alike in their words:
/// "I love it" and "I hate it" share little else.
const SURE: f64 = 0.7;

/// Something that is known already.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub id: String,
    pub text: String,
    /// The cosine with the new statement, where both have vectors.
    pub meaning: Option<f64>,
}

/// What becomes of a new statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Gate {
    Add,
    /// It is known.
    Drop {
        known: String,
    },
    /// It says all that this one says, and more.
    Merge {
        into: String,
    },
    /// This one is no longer true.
    Supersede {
        old: String,
        layer: Layer,
    },
}

/// How alike two statements are by their words, from 0 to 1: twice what they share
/// by what both have (Dice).
pub fn alike(one: &str, other: &str) -> f64 {
    let (one, other) = (distinct(one), distinct(other));
    if one.is_empty() || other.is_empty() {
        return 0.0;
    }
    let common = one.iter().filter(|term| other.binary_search(term).is_ok()).count();
    2.0 * common as f64 / (one.len() + other.len()) as f64
}

/// Decides what becomes of a statement, beside everything that is known of the person.
pub fn gate(statement: &str, known: &[Known]) -> Gate {
    let mut by_likeness: Vec<(f64, &Known)> = known.iter().map(|known| (likeness(statement, known), known)).collect();
    by_likeness.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.id.cmp(&other.1.id)));
    let about = subject(statement);
    for (likeness, known) in by_likeness.into_iter().filter(|(_, known)| subject(&known.text) == about) {
        // What says the same the same way round, and more or less of it, is no contradiction.
        if denies(&known.text) == denies(statement) {
            if says_all_of(&known.text, statement) {
                return Gate::Drop { known: known.id.clone() };
            }
            if likeness > ALIKE && says_all_of(statement, &known.text) {
                return Gate::Merge { into: known.id.clone() };
            }
        }
        if let Some(layer) = contradiction(&known.text, statement) {
            if likeness > ALIKE || layer.confidence() >= SURE {
                return Gate::Supersede { old: known.id.clone(), layer };
            }
        } else if likeness > SAME || alike(statement, &known.text) > SAME_WORDS {
            return Gate::Drop { known: known.id.clone() };
        }
    }
    Gate::Add
}

fn likeness(statement: &str, known: &Known) -> f64 {
    let words = alike(statement, &known.text);
    known.meaning.map_or(words, |meaning| meaning.max(words))
}

/// Whether one statement holds every term of another.
fn says_all_of(one: &str, other: &str) -> bool {
    let (one, other) = (distinct(one), distinct(other));
    !other.is_empty() && other.iter().all(|term| one.binary_search(term).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(all: &[&str]) -> Vec<Known> {
        let known = all.iter().enumerate();
        known.map(|(id, text)| Known { id: id.to_string(), text: (*text).to_owned(), meaning: None }).collect()
    }

    #[test]
    fn what_is_known_is_not_added_again() {
        let all = known(&["I like green tea", "My dog is called Rex"]);
        assert_eq!(gate("I like green tea!", &all), Gate::Drop { known: "0".into() });
        assert_eq!(gate("I really like tea", &all), Gate::Drop { known: "0".into() }, "it says less");
        assert_eq!(gate("I like coffee", &all), Gate::Add);
    }

    #[test]
    fn what_says_more_takes_the_place_of_what_says_less() {
        let all = known(&["My sister Ida lives in Rome"]);
        let more = "My sister Ida lives in Rome with Paul";
        assert_eq!(gate(more, &all), Gate::Merge { into: "0".into() });
    }

    #[test]
    fn what_is_no_longer_true_is_superseded() {
        let all = known(&["I love coffee", "My dog is called Rex", "I live in Rome"]);
        assert_eq!(gate("I hate coffee", &all), Gate::Supersede { old: "0".into(), layer: Layer::Antonym });
        assert_eq!(gate("My dog is called Max", &all), Gate::Supersede { old: "1".into(), layer: Layer::Value });
        assert_eq!(gate("I moved to Oslo", &all), Gate::Supersede { old: "2".into(), layer: Layer::Value });
    }

    #[test]
    fn what_is_said_of_others_is_another_thing() {
        for (old, new) in [
            ("I live in Rome", "My brother lives in Rome"),
            ("I love hiking", "My wife loves hiking"),
            ("My sister lives in Oslo", "I live in Oslo"),
            ("My sister is a nurse", "I am a nurse"),
            ("I don't like coffee", "My boss likes coffee"),
        ] {
            let mut all = known(&[old]);
            all[0].meaning = Some(0.99);
            assert_eq!(gate(new, &all), Gate::Add, "{old:?} / {new:?}");
        }
        let denied = known(&["I don't like coffee"]);
        assert_eq!(gate("I like coffee", &denied), Gate::Supersede { old: "0".into(), layer: Layer::Negation });
    }

    #[test]
    fn meaning_counts_where_there_is_one() {
        let mut all = known(&["I adore felines"]);
        assert_eq!(gate("I love cats", &all), Gate::Add);
        all[0].meaning = Some(0.97);
        assert_eq!(gate("I love cats", &all), Gate::Drop { known: "0".into() });
    }

    proptest! {
        #[test]
        fn the_same_again_is_never_added(text in "[a-z]{3,8} [a-z]{3,8} [0-9]{1,3}", others in proptest::collection::vec("[a-z ]{0,30}", 0..6)) {
            let mut all = known(&others.iter().map(String::as_str).collect::<Vec<_>>());
            all.push(Known { id: "same".into(), text: text.clone(), meaning: None });
            prop_assert_ne!(gate(&text, &all), Gate::Add);
        }

        #[test]
        fn likeness_is_symmetric_and_bounded(one in ".{0,40}", other in ".{0,40}") {
            prop_assert_eq!(alike(&one, &other), alike(&other, &one));
            prop_assert!((0.0..=1.0).contains(&alike(&one, &other)));
        }
    }
}
