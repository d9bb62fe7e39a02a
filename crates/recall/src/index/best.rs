//! The best of many scores.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A score with its number, so that what is better is greater: of equal ones the older.
#[derive(PartialEq)]
struct Ranked(f32, usize);

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0).then(other.1.cmp(&self.1))
    }
}

/// The numbers of the best scores, best first; of equal ones the older first. Few are
/// kept of many, so most are only compared with the worst of those.
pub(super) fn best_of(scores: &[f32], count: usize) -> Vec<usize> {
    let mut best = BinaryHeap::with_capacity(count.min(scores.len()) + 1);
    for (number, score) in scores.iter().enumerate() {
        let ranked = Reverse(Ranked(*score, number));
        if best.len() < count {
            best.push(ranked);
        } else if best.peek().is_some_and(|worst| ranked < *worst) {
            best.pop();
            best.push(ranked);
        }
    }
    best.into_sorted_vec().into_iter().map(|Reverse(Ranked(_, number))| number).collect()
}

/// Which of two numbers comes first.
pub(super) fn better(scores: &[f32], one: usize, other: usize) -> Ordering {
    scores[other].total_cmp(&scores[one]).then(one.cmp(&other))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_best_are_those_of_a_sort(scores in proptest::collection::vec(-3i8..3, 0..40), count in 0usize..50) {
            let scores: Vec<f32> = scores.into_iter().map(f32::from).collect();
            let mut expected: Vec<usize> = (0..scores.len()).collect();
            expected.sort_by(|one, other| better(&scores, *one, *other));
            expected.truncate(count);
            prop_assert_eq!(best_of(&scores, count), expected);
        }
    }
}
