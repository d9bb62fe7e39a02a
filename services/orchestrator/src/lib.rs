//! The orchestrator: the agent loop, with its journal.
//!
//! Model, tools, model, until there is a reply. What happens next is decided by
//! `domain::decide` from what the journal holds; this crate stores, asks and
//! tells. A turn may be taken over by another replica at any moment, and a
//! replica that lost its turn finds out at its next append and falls silent.
//! It never talks to a platform.

mod actors; // The turns.
mod app; // Building and running.
mod draft; // What is known here and not stored yet.
mod offered; // Tools that turns share.
mod sampling; // What servers want of the model.
mod searching; // A search among the turn's own tools.
mod show; // What a running turn shows.
mod tools; // Asking for tool calls, and hearing of their results.

pub use app::App;
