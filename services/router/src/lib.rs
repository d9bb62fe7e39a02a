//! The router: order, one active turn per conversation, queueing, stop.
//!
//! Judges nothing itself: `domain::conversation::step` does. This crate reads
//! the record, stores what the step says together with its outbox, causes the
//! outbox, and acknowledges, in this order, so that it may die between any two.
//! It never calls a model and never waits for anything slow.

mod actors; // One part for each partition, and what looks after them.
mod app; // Building and running.
mod recent; // The records written last.

pub use app::App;
