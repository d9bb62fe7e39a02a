//! What model calls cost somebody on one day, and whether they may cost more. A call is
//! reserved before it is made and settled after it, so that calls that run side by side never
//! exceed a limit together. Pure: the time comes in.

use std::collections::BTreeMap;

/// Calls that are reserved at the same time, at most.
pub const OPEN: usize = 1000;

/// Tokens, and money in millionths of a US dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    pub tokens: u64,
    pub micros: u64,
}

impl std::ops::Add for Cost {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let (tokens, micros) = (self.tokens.saturating_add(other.tokens), self.micros.saturating_add(other.micros));
        Self { tokens, micros }
    }
}

/// What may be spent on one day; nothing named: all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowance {
    pub tokens: Option<u64>,
    pub micros: Option<u64>,
}

impl Allowance {
    pub fn is_none(&self) -> bool {
        self.tokens.is_none() && self.micros.is_none()
    }

    fn covers(&self, cost: Cost) -> bool {
        self.tokens.is_none_or(|most| cost.tokens <= most) && self.micros.is_none_or(|most| cost.micros <= most)
    }
}

/// A call that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    pub cost: Cost,
    /// When it has ended for sure: one that nobody settled counts no longer.
    pub until_ms: i64,
}

/// One day of one person or channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    pub spent: Cost,
    /// By what each call is known: the same again takes the place of the one before.
    pub open: BTreeMap<String, Reserved>,
}

impl Account {
    /// Reserves a call; not if it might exceed what is allowed.
    pub fn reserve(&mut self, call: &str, reserved: Reserved, allowed: &Allowance, now_ms: i64) -> bool {
        self.open.retain(|known, other| known != call && other.until_ms > now_ms);
        let open = self.open.values().fold(self.spent, |sum, other| sum + other.cost);
        let fits = self.open.len() < OPEN && allowed.covers(open + reserved.cost);
        if fits {
            self.open.insert(call.to_owned(), reserved);
        }
        fits
    }

    /// Puts what a call has cost in the place of what was reserved for it.
    pub fn settle(&mut self, call: &str, cost: Cost) {
        self.open.remove(call);
        self.spent = self.spent + cost;
    }
}

/// US dollars for a million tokens that a model reads, and that it writes, in millionths of
/// a dollar a token.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Price {
    pub input: f64,
    pub output: f64,
}

impl Price {
    pub fn of(&self, input_tokens: u64, output_tokens: u64) -> Cost {
        let micros = self.input * input_tokens as f64 + self.output * output_tokens as f64;
        Cost { tokens: input_tokens.saturating_add(output_tokens), micros: micros.ceil() as u64 }
    }

    /// Reads `3/15`.
    pub fn parse(text: &str) -> Option<Self> {
        let (input, output) = text.split_once('/')?;
        let read = |part: &str| part.trim().parse::<f64>().ok().filter(|price| price.is_finite() && *price >= 0.0);
        Some(Self { input: read(input)?, output: read(output)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(tokens: u64) -> Cost {
        Cost { tokens, micros: 0 }
    }

    #[test]
    fn a_call_is_reserved_before_it_is_made_and_settled_after() {
        let (mut account, allowed) = (Account::default(), Allowance { tokens: Some(100), micros: None });
        let reserve = |account: &mut Account, call: &str, cost, now| {
            account.reserve(call, Reserved { cost: tokens(cost), until_ms: now + 10 }, &allowed, now)
        };
        assert!(reserve(&mut account, "a", 60, 0) && !reserve(&mut account, "b", 60, 0));
        assert!(reserve(&mut account, "a", 70, 0), "the same call again is one");
        account.settle("a", tokens(30));
        assert!(reserve(&mut account, "b", 60, 1) && !reserve(&mut account, "c", 20, 10));
        assert!(reserve(&mut account, "c", 20, 11), "one that nobody settled counts no longer");
        assert_eq!(account.spent, tokens(30));
    }

    #[test]
    fn money_is_counted_by_what_is_read_and_written() {
        let price = Price::parse("3/15").unwrap();
        assert_eq!(price.of(1_000_000, 100_000), Cost { tokens: 1_100_000, micros: 4_500_000 });
        assert_eq!(Price::parse("0.25/1.25").unwrap().of(1, 1).micros, 2);
        assert!(["3", "a/b", "-1/2", "nan/1", ""].iter().all(|text| Price::parse(text).is_none()));
    }

    proptest! {
        /// However calls come, overlap, are made again or lost, what is reserved and spent stays
        /// within what is allowed, as long as no call costs more than was reserved for it.
        #[test]
        fn nothing_exceeds_what_is_allowed(
            steps in proptest::collection::vec((0usize..6, 1u64..50, any::<bool>(), 0i64..5), 1..60),
        ) {
            let allowed = Allowance { tokens: Some(100), micros: Some(1000) };
            let (mut account, mut now, mut running) = (Account::default(), 0, BTreeMap::new());
            for (call, cost, settles, later) in steps {
                now += later;
                running.retain(|_, (_, until_ms)| *until_ms > now);
                let name = call.to_string();
                match running.remove(&name) {
                    Some((reserved, _)) if settles => account.settle(&name, tokens(cost.min(reserved))),
                    _ => {
                        let reserved = Reserved { cost: Cost { tokens: cost, micros: cost * 5 }, until_ms: now + 7 };
                        if account.reserve(&name, reserved, &allowed, now) {
                            running.insert(name, (cost, now + 7));
                        }
                    }
                }
                let open = account.open.values().filter(|open| open.until_ms > now).map(|open| open.cost.tokens);
                prop_assert!(account.spent.tokens + open.sum::<u64>() <= 100);
            }
        }
    }
}
