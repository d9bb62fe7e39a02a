//! Clara as a whole, from outside: the chaos suite and the benchmarks.
//!
//! Whoever checks here reads the streams and the ledgers of the fakes, never
//! a service's own word. The tests of single promises are in `tests/all`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a run that meets the unexpected has failed")]

pub mod bench; // What she costs, beside what the bus alone costs.
pub mod chaos; // Kills, cuts, floods; and whether the promise held.
pub mod recall_eval; // Whether she finds what was said.
pub mod tool_eval; // Whether the tool that is needed is among the first.
