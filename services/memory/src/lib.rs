//! The memory service: sessions, messages and facts.
//!
//! Projects the journal of every turn into the history, answers what a turn
//! wants to know, and keeps what people asked her to remember. It owns its
//! tables alone. Nobody's reply waits for it beyond a deadline.

mod actors; // Who answers and who listens.
mod adapters; // The databases behind the ports.
mod app; // Building and running.
mod background; // Work that nobody waits for.
pub mod import; // From the systems that Clara replaces.
mod indexes; // What was said, ready to be searched.
mod knowledge; // What is known of people.
mod learning; // What a statement changes.
mod mirrors; // Stores beside the database.
mod open; // From settings to databases and models.
mod ports; // What the service needs from a database.
mod projection; // From a turn's journal to messages.
mod reader; // The model that reads what was said.
mod scope; // What is searched together.
mod search; // Finds what fits a question.

pub use app::App;
