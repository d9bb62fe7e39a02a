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

use std::process::ExitCode;

pub use app::App;

/// Runs what the tool runner has in processes of their own, if the first argument names it.
pub fn own_process() -> Option<ExitCode> {
    let first = std::env::args_os().nth(1)?;
    match first.to_str()? {
        web::ARGUMENT => Some(web::read_page()),
        adapters::guard::ARGUMENT => Some(adapters::guard::guard_groups()),
        _ => None,
    }
}
