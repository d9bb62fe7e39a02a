//! How long a server is left alone after it failed. Pure: it is told what time it is.

use std::time::Duration;

use tokio::time::Instant;

/// The pause after a failure; doubles up to the longest one.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// A server that ran for so long is not one that fails again and again.
const STEADY: Duration = Duration::from_secs(60);

pub(super) struct BackOff {
    failures: u32,
    not_before: Instant,
    /// Why it failed last.
    pub(super) last_error: String,
}

impl BackOff {
    pub(super) fn new(now: Instant) -> Self {
        Self { failures: 0, not_before: now, last_error: String::new() }
    }

    /// How long it is left alone yet.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.not_before.saturating_duration_since(now)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// It failed. `ran`: how long it had run before, which is nothing if it did not start.
    pub(super) fn fail(&mut self, why: &str, ran: Duration, now: Instant) {
        if ran >= STEADY {
            self.failures = 0;
        }
        let pause = PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures += 1;
        self.not_before = now + pause;
        why.clone_into(&mut self.last_error);
    }

    /// It was found to be ending when somebody wanted to ask it. One that had run well is started anew at
    /// once.
    pub(super) fn lapse(&mut self, why: &str, ran: Duration, now: Instant) {
        if ran < STEADY {
            self.fail(why, ran, now);
        }
    }

    /// It ended as it should.
    pub(super) fn forget(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_again_and_again_is_left_alone_for_longer() {
        let now = Instant::now();
        let mut back_off = BackOff::new(now);
        assert!(back_off.wait(now).is_zero() && !back_off.has_failed());
        let waits: Vec<u64> = (0..9)
            .map(|_| {
                back_off.fail("gone", Duration::ZERO, now);
                back_off.wait(now).as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        assert!(back_off.wait(now + LONGEST_PAUSE).is_zero() && back_off.has_failed());
        // One that ran well in between begins anew.
        back_off.fail("gone", STEADY, now);
        assert_eq!((back_off.wait(now), back_off.last_error.as_str()), (PAUSE, "gone"));
    }
}
