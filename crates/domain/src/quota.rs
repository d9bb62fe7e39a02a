//! How much somebody may send: the Generic Cell Rate Algorithm.
//!
//! GCRA (ITU-T I.371, appendix "continuous-state leaky bucket") keeps one number
//! for each sender: when all that was sent so far would have been paid for. Pure:
//! the time comes in.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Senders that are remembered. Those that have paid are forgotten first.
const SENDERS: usize = 100_000;

/// A steady rate, with all of a minute's worth allowed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The time that one message costs.
    cost: Duration,
    /// How far a sender may be ahead.
    burst: Duration,
}

impl Quota {
    pub fn per_minute(messages: u32) -> Self {
        let minute = Duration::from_secs(60);
        let cost = minute / messages.max(1);
        Self { cost, burst: minute - cost }
    }
}

/// What each sender has used.
#[derive(Debug, Clone)]
pub struct Usage<K> {
    quota: Quota,
    /// When what was sent is paid for, since the same beginning as `now`.
    paid_at: HashMap<K, Duration>,
}

impl<K: Hash + Eq + Clone> Usage<K> {
    pub fn new(quota: Quota) -> Self {
        Self { quota, paid_at: HashMap::new() }
    }

    /// Takes one message of a sender at `now`; the error is how long to wait.
    pub fn take(&mut self, sender: &K, now: Duration) -> Result<(), Duration> {
        if self.paid_at.len() >= SENDERS && !self.paid_at.contains_key(sender) {
            self.paid_at.retain(|_, paid| *paid > now);
            if self.paid_at.len() >= SENDERS {
                // So many are ahead at once that somebody is making them up.
                return Err(self.quota.cost);
            }
        }
        let paid = self.paid_at.get(sender).copied().unwrap_or(now).max(now);
        if let Some(wait) = (paid - now).checked_sub(self.quota.burst).filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        self.paid_at.insert(sender.clone(), paid + self.quota.cost);
        Ok(())
    }

    /// Gives back what was taken for a message that was not sent after all.
    pub fn give_back(&mut self, sender: &K) {
        if let Some(paid) = self.paid_at.get_mut(sender) {
            *paid = paid.saturating_sub(self.quota.cost);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn minute_may_be_used_at_once_and_then_one_at_a_time() {
        let mut usage = Usage::new(Quota::per_minute(60));
        let at = Duration::from_secs(100);
        for _ in 0..60 {
            assert_eq!(usage.take(&"ann", at), Ok(()));
        }
        assert_eq!(usage.take(&"ann", at), Err(Duration::from_secs(1)));
        assert_eq!(usage.take(&"bob", at), Ok(()));
        assert_eq!(usage.take(&"ann", at + Duration::from_secs(1)), Ok(()));
        assert!(usage.take(&"ann", at + Duration::from_secs(1)).is_err());
        usage.give_back(&"ann");
        assert_eq!(usage.take(&"ann", at + Duration::from_secs(1)), Ok(()));
    }

    proptest! {
        /// In no minute is more taken than twice the rate, and who waits as told may send.
        #[test]
        fn rate_holds(rate in 1u32..200, gaps in prop::collection::vec(0u64..3000, 1..400)) {
            let mut usage = Usage::new(Quota::per_minute(rate));
            let (mut now, mut taken) = (Duration::ZERO, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                match usage.take(&(), now) {
                    Ok(()) => taken.push(now),
                    Err(wait) => prop_assert_eq!(usage.clone().take(&(), now + wait), Ok(())),
                }
            }
            for (index, from) in taken.iter().enumerate() {
                let within = taken[index..].iter().take_while(|at| **at - *from < Duration::from_secs(60)).count();
                prop_assert!(within <= 2 * rate as usize, "{} of {}", within, rate);
            }
        }
    }
}
