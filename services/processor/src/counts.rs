//! Token counts of texts that come again: tools stand in every prompt, what was said in the
//! next one too.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

/// Texts whose counts are kept, at most; then it begins anew.
const KEPT: usize = 4096;
/// Shorter texts, in bytes, are counted as soon as they are found.
const SHORT: usize = 64;

/// Counts that are kept by the text's hash: 64 bits with a key of this process, so that two
/// texts of one count are no accident that anybody can make.
#[derive(Default)]
pub(crate) struct Counts {
    hasher: RandomState,
    known: Mutex<HashMap<u64, usize>>,
}

impl Counts {
    pub(crate) fn of(&self, text: &str, count: impl Fn(&str) -> usize) -> usize {
        if text.len() < SHORT {
            return count(text);
        }
        let hash = self.hasher.hash_one(text);
        if let Some(known) = self.known().get(&hash) {
            return *known;
        }
        let counted = count(text);
        let mut known = self.known();
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(hash, counted);
        counted
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<u64, usize>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_long_text_is_counted_once_and_no_more_are_kept_than_said() {
        let (counts, counted) = (Counts::default(), Cell::new(0));
        let count = |text: &str| {
            counted.set(counted.get() + 1);
            text.len()
        };
        let long = "x".repeat(SHORT);
        assert_eq!((counts.of(&long, count), counts.of(&long, count), counted.get()), (SHORT, SHORT, 1));
        assert_eq!((counts.of("x", count), counts.of("x", count), counted.get()), (1, 1, 3));
        for n in 0..=KEPT {
            counts.of(&format!("{long}{n}"), count);
        }
        assert!(counts.known().len() <= KEPT);
    }
}
