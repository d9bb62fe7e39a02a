//! Processes in the background of the sandbox.

use async_trait::async_trait;

use super::DatabaseError;

/// A process that runs in the sandbox while nobody waits for it, as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Background {
    /// The call that began it.
    pub(crate) begun_by: String,
    pub(crate) name: String,
    pub(crate) command: String,
    pub(crate) started_at_ms: i64,
    /// When what runs it was alive last.
    pub(crate) seen_at_ms: i64,
    /// How it ended, in words; empty while it runs.
    pub(crate) ended: String,
}

/// How one ended that nobody has seen for long.
pub(crate) const LOST: &str = "it ended with the tool runner that ran it";

/// What became of one that was to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is to be run now.
    New,
    /// The same call has begun it before.
    Before(Background),
    /// Another of this name runs.
    Taken,
    /// As many run as may.
    TooMany,
}

/// Processes in the background, by whose folder they run in. Times are the caller's, in
/// milliseconds.
#[async_trait]
pub(crate) trait Backgrounds: Send + Sync {
    /// Begins one, unless there is a reason not to. Those not seen since `lost_before_ms` run no
    /// more; of those that have ended the newest are kept.
    async fn begin(
        &self,
        owner: &str,
        new: &Background,
        most: usize,
        lost_before_ms: i64,
    ) -> Result<Begun, DatabaseError>;
    /// Notes how it is, and what it printed if that is new; whether somebody wants it to stop.
    async fn note(&self, owner: &str, of: &Background, output: Option<&str>) -> Result<bool, DatabaseError>;
    /// Whether one of this name was there to stop.
    async fn want_stop(&self, owner: &str, name: &str) -> Result<bool, DatabaseError>;
    /// Newest first, those that run before all others.
    async fn of(&self, owner: &str, limit: u32) -> Result<Vec<Background>, DatabaseError>;
    /// The newest of this name, with the end of what it printed.
    async fn find(&self, owner: &str, name: &str) -> Result<Option<(Background, String)>, DatabaseError>;
}
