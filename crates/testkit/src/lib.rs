//! What tests are made of: real servers, real processes, fakes that keep ledgers.
//!
//! Nothing here is used by a service. A helper that fails panics, because the
//! test then has failed.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "test support fails by panicking")]

pub mod collector; // An OTLP collector that keeps what it gets.
pub mod docker; // A real Docker daemon with one image.
pub mod falkordb; // A real FalkorDB with data of its own.
pub mod incus; // A real Incus daemon with one image.
pub mod index; // An index of Python packages.
pub mod model; // A model vendor that speaks the true wire and keeps a ledger.
pub mod nats; // A real nats-server with a store of its own.
pub mod oauth; // An MCP server that wants to know who asks.
pub mod piped; // A client of MCP over a process's pipes.
pub mod postgres; // A real PostgreSQL with data of its own.
pub mod process; // Programs of this workspace as processes.
pub mod proxy; // A link that can be cut.
pub mod pty; // A program on a terminal of its own.
pub mod qdrant; // A Qdrant that speaks the true wire.
pub mod sandbox; // A whole Clara, every service a process.
pub mod terminal; // A person at a terminal.
pub mod web; // A piece of the web, with a search engine.

use std::time::{Duration, Instant};

/// How long tests wait for what must happen.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `check` gives something, looking every 20 ms.
#[track_caller]
pub fn eventually<T, F>(what: &'static str, check: F) -> impl Future<Output = T>
where
    F: AsyncFnMut() -> Option<T>,
{
    within(DEADLINE, what, check)
}

/// The same, for what takes its time.
#[track_caller]
pub fn within<T, F>(limit: Duration, what: &'static str, mut check: F) -> impl Future<Output = T>
where
    F: AsyncFnMut() -> Option<T>,
{
    let place = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = check().await {
                return found;
            }
            assert!(Instant::now() < deadline, "{place}: waited {limit:?} for: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
