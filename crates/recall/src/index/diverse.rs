//! Of passages that say the same, the best comes first, and the others after what is
//! different: people repeat themselves, and a prompt has few places.
//!
//! Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998) with a step in place of
//! its weighted sum: a passage that says the same as a better one is worth nothing beside
//! it, any other all that it was worth before. So what is merely alike, as an answer is to
//! its question, keeps its place.

/// The part of their terms that two passages share when they say the same (Jaccard).
const SAME: f32 = 0.8;
/// Places that are kept free of repetitions, at most.
const PLACES: usize = 50;
/// Passages of fewer terms say too little to be the same.
const FEWEST: usize = 3;

/// The terms of a passage, each once, in one order.
struct Terms<'a>(Vec<&'a str>);

impl<'a> Terms<'a> {
    fn of(terms: &'a [String]) -> Self {
        let mut once: Vec<&str> = terms.iter().map(String::as_str).collect();
        once.sort_unstable();
        once.dedup();
        Self(once)
    }

    fn says_the_same(&self, other: &Self) -> bool {
        let (few, many) = (self.0.len().min(other.0.len()), self.0.len().max(other.0.len()));
        if few < FEWEST || (few as f32) < SAME * many as f32 {
            return false;
        }
        let is_shared = |term: &str, with: &Self| with.0.binary_search(&term).is_ok();
        // Another number is another thing, however alike the rest is.
        let differs = |one: &Self, other: &Self| {
            one.0.iter().any(|term| term.contains(|c: char| c.is_ascii_digit()) && !is_shared(term, other))
        };
        let shared = self.0.iter().filter(|term| is_shared(term, other)).count();
        shared as f32 >= SAME * (few + many - shared) as f32 && !differs(self, other) && !differs(other, self)
    }
}

/// How many of the best must be known so that so many can be different.
pub(super) fn needed(limit: usize) -> usize {
    limit.saturating_add(limit.min(PLACES))
}

/// What was found, best first, with repetitions behind the first places. Nothing is left
/// out.
pub(super) fn diverse<'a, T>(best: Vec<T>, limit: usize, terms: impl Fn(&T) -> &'a [String]) -> Vec<T> {
    let places = limit.min(PLACES);
    let (mut ordered, mut repeated) = (Vec::with_capacity(best.len()), Vec::new());
    let mut known: Vec<Terms<'_>> = Vec::with_capacity(places);
    let mut rest = best.into_iter();
    while known.len() < places
        && let Some(found) = rest.next()
    {
        let own = Terms::of(terms(&found));
        if known.iter().any(|better| better.says_the_same(&own)) {
            repeated.push(found);
        } else {
            ordered.push(found);
            known.push(own);
        }
    }
    ordered.extend(repeated);
    ordered.extend(rest);
    ordered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(texts: &[&str]) -> Vec<Vec<String>> {
        texts.iter().map(|text| text.split(' ').map(str::to_owned).collect()).collect()
    }

    fn diverse(best: Vec<usize>, limit: usize, said: &[Vec<String>]) -> Vec<usize> {
        super::diverse(best, limit, |number| &said[*number])
    }

    #[test]
    fn what_says_the_same_gives_way_to_what_is_different() {
        let said = terms(&["ann tea green cup", "ann cup green tea", "bob tea green cup", "ann hedge hawthorn", "yes"]);
        assert_eq!(diverse(vec![0, 1, 2, 3, 4], 3, &said), [0, 2, 3, 1, 4], "another's word is another thing");
        assert_eq!(diverse(vec![0, 1], 3, &said), [0, 1], "nothing is left out");
        let numbers = terms(&["ann tea green cup on day 5", "ann tea green cup on day 6"]);
        assert_eq!(diverse(vec![0, 1], 1, &numbers)[..1], [0]);
        assert!(!Terms::of(&numbers[0]).says_the_same(&Terms::of(&numbers[1])), "another day is another thing");
        let short = terms(&["yes", "yes"]);
        assert_eq!(diverse(vec![0, 1], 2, &short), [0, 1]);
    }

    proptest! {
        #[test]
        fn the_best_stays_first_and_nothing_is_lost(
            said in proptest::collection::vec(proptest::collection::vec("[a-e]", 0..8), 1..30),
            limit in 0usize..40,
        ) {
            let best: Vec<usize> = (0..said.len()).rev().collect();
            let ordered = diverse(best.clone(), limit, &said);
            let mut sorted = ordered.clone();
            sorted.sort_unstable_by(|one, other| other.cmp(one));
            prop_assert_eq!(&sorted, &best, "each once");
            prop_assert_eq!(ordered[0], best[0]);
            // Whoever stands in the first places repeats nobody there, unless all others do.
            let kept: Vec<Terms<'_>> = ordered.iter().map(|number| Terms::of(&said[*number])).collect();
            let first_repeated = (1..kept.len()).find(|at| kept[..*at].iter().any(|one| one.says_the_same(&kept[*at])));
            if let Some(at) = first_repeated.filter(|at| *at < limit.min(PLACES)) {
                prop_assert!(kept[at..].iter().all(|later| kept[..at].iter().any(|one| one.says_the_same(later))));
            }
        }
    }
}
