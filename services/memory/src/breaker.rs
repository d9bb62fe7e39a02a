//! Leaves a store alone that does not answer, so that nobody waits for it each time.
//! Pure: time comes in.

use std::sync::{Mutex, PoisonError};

/// Failures in a row after which it is left alone.
const FAILURES: u32 = 3;
/// For how long.
const REST_MS: i64 = 30_000;

#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    until_ms: i64,
}

impl Breaker {
    /// Whether it may be asked.
    pub(crate) fn allows(&self, now_ms: i64) -> bool {
        self.state().until_ms <= now_ms
    }

    /// Whether it did not answer when it was asked last.
    pub(crate) fn is_failing(&self) -> bool {
        self.state().failures > 0
    }

    /// Notes how asking went.
    pub(crate) fn note(&self, answered: bool, now_ms: i64) {
        let mut state = self.state();
        if answered {
            *state = State::default();
            return;
        }
        state.failures += 1;
        if state.failures >= FAILURES {
            // The next failure after the rest begins another.
            *state = State { failures: FAILURES - 1, until_ms: now_ms.saturating_add(REST_MS) };
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_are_enough_for_half_a_minute() {
        let breaker = Breaker::default();
        for answered in [false, false, true, false, false] {
            breaker.note(answered, 0);
            assert!(breaker.allows(0));
            assert_eq!(breaker.is_failing(), !answered);
        }
        breaker.note(false, 0);
        assert!(!breaker.allows(REST_MS - 1) && breaker.allows(REST_MS));
        breaker.note(false, REST_MS);
        assert!(!breaker.allows(REST_MS), "one failure more, and it rests again");
        breaker.note(true, REST_MS);
        assert!(breaker.allows(REST_MS) && !breaker.is_failing());
    }
}
