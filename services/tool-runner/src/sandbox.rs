//! Running other people's code: a place without network, without secrets, with a folder
//! that lasts and limits that hold; or no place at all.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

/// What a run's own folder is called inside; it begins there.
pub(crate) const INSIDE: &str = "/workspace";

/// What one run may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) time: Duration,
    /// Memory of all of its processes together, in bytes.
    pub(crate) memory_bytes: u64,
    /// Processes and threads at the same time.
    pub(crate) processes: u64,
    /// Largest file that it writes, in bytes.
    pub(crate) file_bytes: u64,
    /// What is kept of its output, in bytes.
    pub(crate) output_bytes: usize,
    /// What its folder may hold when a run begins, in bytes.
    pub(crate) folder_bytes: u64,
}

/// What is run. Nothing of it goes through a shell unless it names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) command: Vec<String>,
    /// What the program reads.
    pub(crate) input: String,
    /// The folder that lasts, which is all that it can write to for long.
    pub(crate) folder: PathBuf,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// What it wrote to both of its outputs, as far as that is kept.
    pub(crate) text: String,
    pub(crate) is_cut: bool,
    pub(crate) end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With this status.
    Exited(i32),
    /// By a signal: what breaks a limit is ended so.
    Killed(i32),
    TimedOut,
}

/// A way to run code that holds.
#[async_trait]
pub(crate) trait Sandbox: Send + Sync {
    fn name(&self) -> &'static str;
    /// The error says why nothing ran.
    async fn run(&self, run: &Run) -> Result<Output, String>;
}
