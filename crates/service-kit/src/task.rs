//! Tasks with a kind and a name, so that nothing runs unnoticed.

use tokio::task::JoinHandle;
use tracing::{Instrument, debug_span};

/// What a task is for; says what its failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// Its failure is mailed to the actor that started it.
    Work,
    /// Serves until the process ends; its failure is logged.
    Serve,
    /// Watches and shows; losing it loses nothing durable.
    Watch,
}

/// Starts a task under the current span.
pub fn spawn<F>(kind: TaskKind, name: &'static str, task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let span = debug_span!("task", ?kind, name);
    #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
    tokio::spawn(task.instrument(span))
}
