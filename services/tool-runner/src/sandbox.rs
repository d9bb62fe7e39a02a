//! Running other people's code: a place without network, without secrets, with a folder
//! that lasts and limits that hold; or no place at all.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::web::Host;

/// What a run's own folder is called inside; it begins there.
pub(crate) const INSIDE: &str = "/workspace";

/// Where packages are that were installed for its programs, inside.
pub(crate) const PACKAGES: &str = "/workspace/.python";

/// What a run has in its environment, beside where programs are.
pub(crate) const VARIABLES: &[(&str, &str)] =
    &[("HOME", INSIDE), ("LANG", "C.UTF-8"), ("TMPDIR", "/tmp"), ("PYTHONPATH", PACKAGES)];
/// What a run may write to /tmp, in bytes.
pub(crate) const TMP: u64 = 64 * 1024 * 1024;

/// What one run may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How long it may take, if it is waited for.
    pub(crate) time: Duration,
    /// Memory of all of its processes together, in bytes.
    pub(crate) memory_bytes: u64,
    /// Processes and threads at the same time.
    pub(crate) processes: u64,
    /// How much of one processor all of them together use, in percent.
    pub(crate) cpu_percent: u64,
    /// Largest file that it writes, in bytes.
    pub(crate) file_bytes: u64,
    /// What is kept of its output, in bytes.
    pub(crate) output_bytes: usize,
    /// What its folder may hold, when a run begins and while it goes on, in bytes.
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
    /// How long it may take.
    pub(crate) time: Duration,
    /// What it may reach, by a proxy alone; without any there is no network.
    pub(crate) hosts: Arc<[Host]>,
}

/// Which end of a long output is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    First,
    Last,
}

/// What a run prints to both of its outputs, as far as that is kept; it can be looked at while
/// it runs.
#[derive(Debug)]
pub(crate) struct Printed {
    keeps: Keeps,
    limit: usize,
    known: Mutex<(Vec<u8>, u64)>,
}

impl Printed {
    /// `limit` is in bytes.
    pub(crate) fn new(keeps: Keeps, limit: usize) -> Self {
        Self { keeps, limit, known: Mutex::default() }
    }

    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, total) = &mut *known;
        *total += bytes.len() as u64;
        match self.keeps {
            Keeps::First => {
                let room = self.limit.saturating_sub(kept.len());
                kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Keeps::Last => {
                kept.extend_from_slice(&bytes[bytes.len().saturating_sub(self.limit)..]);
                let from = kept.len().saturating_sub(self.limit);
                kept.drain(..from);
            }
        }
    }

    /// How many bytes were printed.
    pub(crate) fn total(&self) -> u64 {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// What is kept, and whether there was more.
    pub(crate) fn text(&self) -> (String, bool) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        (String::from_utf8_lossy(&known.0).into_owned(), known.1 > known.0.len() as u64)
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With this status.
    Exited(i32),
    /// By a signal: what breaks a limit is ended so.
    Killed(i32),
    TimedOut,
    /// Its folder held more than it may, or the disk was nearly full: it was ended.
    Filled,
    /// Nobody knows: it began, and may go on.
    Lost,
}

/// A way to run code that holds.
#[async_trait]
pub(crate) trait Sandbox: Send + Sync {
    fn name(&self) -> &'static str;
    /// Runs something to its end; every process of it ends when this is dropped. The error
    /// says why nothing ran.
    async fn run(&self, run: &Run, printed: &Arc<Printed>) -> Result<End, String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_that_is_wanted_is_kept() {
        let print = |keeps, pieces: &[&str]| {
            let printed = Printed::new(keeps, 5);
            pieces.iter().for_each(|piece| printed.push(piece.as_bytes()));
            printed.text()
        };
        assert_eq!(print(Keeps::First, &["abc", "def"]), ("abcde".to_owned(), true));
        assert_eq!(print(Keeps::Last, &["abc", "def"]), ("bcdef".to_owned(), true));
        assert_eq!(print(Keeps::Last, &["x", "0123456789"]), ("56789".to_owned(), true));
        assert_eq!(print(Keeps::Last, &["abc", "de"]), ("abcde".to_owned(), false));
    }
}
