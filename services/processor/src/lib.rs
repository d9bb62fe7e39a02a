//! The processor: builds what a turn works from.
//!
//! Persona, history, memories, time and place, fitted to the model's window.
//! Owns nothing and calls no tools; a memory service that is slow or away costs
//! recall, and the person is told, but never the answer.

mod actors; // Who prepares.
mod adapters; // The others, over the bus.
mod app; // Building and running.
mod attached; // What of people's files is read.
mod choice; // Which tools are offered. Pure.
mod counts; // Token counts of texts that come again.
mod ports; // What it asks of others.
mod prompt; // From all that to the context of a turn. Pure.
mod rules; // The policy file.
mod tier; // Which class of model answers.

pub use app::App;
