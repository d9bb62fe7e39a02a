//! Leaves what does not answer alone for a while, so that nobody waits for it each time.
//! Pure: time comes in.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Failures in a row after which it is left alone.
const FAILURES: u32 = 3;
/// For how long, unless it is said otherwise.
const REST_MS: i64 = 30_000;

/// What a claim came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    Refused,
    Allowed,
    /// Alone, after a rest.
    Probe,
}

#[derive(Debug)]
pub struct Breaker {
    rest_ms: i64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    until_ms: i64,
}

impl Default for Breaker {
    /// Rests for half a minute.
    fn default() -> Self {
        Self { rest_ms: REST_MS, state: Mutex::default() }
    }
}

impl Breaker {
    pub fn resting_for(rest: Duration) -> Self {
        Self { rest_ms: i64::try_from(rest.as_millis()).unwrap_or(i64::MAX), state: Mutex::default() }
    }

    /// Whether it may be asked.
    pub fn allows(&self, now_ms: i64) -> bool {
        self.state().until_ms <= now_ms
    }

    /// Whether it may be asked now, where what follows may take long: after a rest one probes
    /// it, and the others go on waiting until the probe is noted, or has taken a rest's time.
    pub fn claim(&self, now_ms: i64) -> Claim {
        let mut state = self.state();
        if state.until_ms > now_ms {
            return Claim::Refused;
        }
        if state.until_ms == 0 {
            return Claim::Allowed;
        }
        state.until_ms = now_ms.saturating_add(self.rest_ms);
        Claim::Probe
    }

    /// Takes a claim back of which nothing was learnt: after a probe another one may.
    pub fn give_back(&self, claim: Claim, now_ms: i64) {
        if claim == Claim::Probe {
            self.state().until_ms = now_ms;
        }
    }

    /// Whether it did not answer when it was asked last.
    pub fn is_failing(&self) -> bool {
        self.state().failures > 0
    }

    /// Notes how asking went.
    pub fn note(&self, answered: bool, now_ms: i64) {
        let mut state = self.state();
        if answered {
            *state = State::default();
            return;
        }
        state.failures += 1;
        if state.failures >= FAILURES {
            // The next failure after the rest begins another.
            *state = State { failures: FAILURES - 1, until_ms: now_ms.saturating_add(self.rest_ms) };
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn after_a_rest_one_probes_and_the_others_wait() {
        let breaker = Breaker::resting_for(Duration::from_secs(300));
        for _ in 0..3 {
            assert_eq!(breaker.claim(0), Claim::Allowed, "those that run side by side are no probes");
        }
        (0..3).for_each(|_| breaker.note(false, 0));
        assert_eq!(breaker.claim(299_999), Claim::Refused);
        assert_eq!((breaker.claim(300_000), breaker.claim(300_001)), (Claim::Probe, Claim::Refused), "one");
        assert_eq!(breaker.claim(600_001), Claim::Probe, "a probe that nobody noted is given up");
        breaker.give_back(Claim::Allowed, 600_002);
        assert_eq!(breaker.claim(600_002), Claim::Refused, "another's rest is its own");
        breaker.give_back(Claim::Probe, 600_002);
        let claims = (breaker.claim(600_002), breaker.claim(600_003));
        assert_eq!(claims, (Claim::Probe, Claim::Refused), "nothing was learnt: one more probes");
        breaker.note(true, 600_002);
        assert_eq!((breaker.claim(600_003), breaker.claim(600_003)), (Claim::Allowed, Claim::Allowed));
    }
}
