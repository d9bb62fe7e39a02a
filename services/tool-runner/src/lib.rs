//! The tool runner: runs one tool call, at most once where it matters.
//!
//! Every call has a record, STARTED then DONE, written by compare-and-set. A
//! redelivered call that was started and not finished runs again only if its
//! tool allows that; otherwise its outcome is unknown and the person decides.

mod actors;
mod app; // Building and running.
mod registry; // The tools there are, and whether arguments fit.
mod tools; // What is built in. // Who runs and who lists.

pub use app::App;
