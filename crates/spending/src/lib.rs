//! A model call that somebody pays for: reserved before it is made, across all services and
//! replicas, and settled after it.
//!
//! Every service that asks a model does it by [`call`], or it spends what nobody counts. What
//! an account is, and when a call fits into it, is `domain::spending`'s; where accounts stand
//! is `bus`'s.

mod budgets; // What people and channels may spend on a day.
mod call; // One call of the model, with an end.

pub use budgets::{Budgets, Paying};
pub use call::call;
