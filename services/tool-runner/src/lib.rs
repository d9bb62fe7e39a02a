//! The tool runner: runs one tool call, at most once where it matters.
//!
//! Every call has a record, STARTED then DONE, written by compare-and-set. A
//! redelivered call that was started and not finished runs again only if its
//! tool allows that; otherwise its outcome is unknown and the person decides.

mod actors; // Who runs and who lists.
mod adapters; // Servers that speak MCP, and a database.
mod app; // Building and running.
mod locks; // One at a time for each of something.
mod mcp; // Servers that offer tools.
mod outgoing; // What may not leave in a call.
mod ports; // What it needs from outside.
mod registry; // The tools there are, and whether arguments fit.
mod sandbox; // Running other people's code.
mod tools; // What is built in.
mod web; // Pages of the web, from public addresses alone.

pub use app::App;
pub use web::{ARGUMENT as READ_PAGE, read_page};
