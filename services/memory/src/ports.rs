//! What the service needs from a database.

mod facts; // Facts: how they are found, changed, learnt and erased.
mod people; // What people choose: accounts, reminders, projects.

use async_trait::async_trait;
use domain::ids::{ConversationId, TurnId};
use domain::memory::{HistoryMessage, RecallRequest};
use domain::session::Session;
use learn::mood::Mood;
use learn::summary::Summary;
use recall::Embedding;

pub(crate) use self::facts::{
    Change, Erased, Erasure, Facts, FileOf, Remembered, SaidBy, Unlearnt, Unpurged, is_looked_for,
};
pub(crate) use self::people::{Intentions, Linking, People, Projects, Unlinking};
use crate::projection::TurnRows;
use crate::scope::Scope;

/// Why the database did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the memory database did not answer")]
pub(crate) struct MemoryError(#[from] pub(crate) store::StoreError);

/// Sessions and messages. Every write is idempotent by its ids.
#[async_trait]
pub(crate) trait Memory: Send + Sync {
    /// Stores the messages of a turn, in the session they belong to.
    async fn store_turn(&self, rows: &TurnRows) -> Result<Projected, MemoryError>;
    /// Whether the reply of a turn is in the history.
    async fn has_reply(&self, turn: TurnId) -> Result<bool, MemoryError>;
    async fn history(&self, request: &RecallRequest) -> Result<History, MemoryError>;
}

/// What storing a turn left to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Projected {
    /// Something of it is to be learnt, embedded or summarised now.
    Waits,
    Whole,
}

/// What was said in a conversation.
pub(crate) struct History {
    /// The newest messages, oldest first.
    pub messages: Vec<HistoryMessage>,
    /// Whether the reply of the turn before is among them. One that failed never is.
    pub holds_previous: bool,
}

/// How much of a scope has changed so far: whoever holds an index compares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub said: i64,
    pub embedded: i64,
    pub erased: i64,
}

/// A passage with its place in the order of all.
pub(crate) struct Stored {
    pub position: i64,
    pub passage: recall::Passage,
}

/// A passage, or a fact, that has no vectors of the model in use.
pub(crate) struct Unembedded {
    pub id: String,
    pub scope: Scope,
    pub speaker: String,
    pub text: String,
    /// What was said before it in the same session, and by whom.
    pub before: Option<(String, String)>,
}

/// What was said, for searching.
#[async_trait]
pub(crate) trait Passages: Send + Sync {
    async fn changes(&self, scope: &Scope) -> Result<Changes, MemoryError>;
    /// What was said after a place (its position and id), in order, with vectors of this
    /// model; so many at most.
    async fn after(
        &self,
        scope: &Scope,
        place: (i64, &str),
        model: &str,
        limit: u32,
    ) -> Result<Vec<Stored>, MemoryError>;
    /// Whether a person may see what was said there.
    async fn is_participant(&self, scope: &Scope, user: &str) -> Result<bool, MemoryError>;
    /// Queues everything that has no vectors of this model.
    async fn embed_all(&self, model: &str) -> Result<(), MemoryError>;
    /// What was said, the newest first; then what is remembered.
    async fn unembedded(&self, model: &str, limit: u32) -> Result<Vec<Unembedded>, MemoryError>;
    async fn count_unembedded(&self) -> Result<u64, MemoryError>;
    async fn store_vectors(&self, model: &str, of: &Unembedded, vectors: &Embedding) -> Result<(), MemoryError>;
}

/// A session with what was said in it since its last summary.
pub(crate) struct Unsummarised {
    pub session: String,
    /// Whose it is; none for a group's.
    pub person: Option<String>,
    /// None: it came from another system.
    pub conversation: Option<ConversationId>,
    /// Its summary so far; empty if there is none.
    pub before: String,
    /// Everything that the person said in it, oldest first; nothing for a group.
    pub own: Vec<String>,
    /// Whether it was her, who it was, and what.
    pub said: Vec<(bool, String, String)>,
    /// The position of the newest of them.
    pub to: i64,
    /// How many of those that were counted it covers.
    pub messages: i64,
    /// How often it was tried before.
    pub tries: u32,
    /// The end of the lease, by which it is known again.
    pub until_ms: i64,
}

/// Older sessions of a group, to be folded into one summary.
pub(crate) struct Unfolded {
    pub channel: String,
    pub generation: i64,
    /// What was folded before; empty if nothing was.
    pub before: String,
    /// Their summaries, oldest first.
    pub sessions: Vec<String>,
    /// When the newest of them began.
    pub to: i64,
    /// How often it was tried before.
    pub tries: u32,
    /// The end of the lease, by which it is known again.
    pub until_ms: i64,
}

/// What sessions were about.
#[async_trait]
pub(crate) trait Summaries: Send + Sync {
    /// A group that has sessions to fold, for this replica alone until then.
    async fn claim_channel(&self, now_ms: i64, until_ms: i64) -> Result<Option<Unfolded>, MemoryError>;
    async fn store_channel(&self, of: &Unfolded, text: &str, at_ms: i64) -> Result<(), MemoryError>;
    /// The session that is due longest, for this replica alone until then.
    async fn claim_session(&self, now_ms: i64, until_ms: i64) -> Result<Option<Unsummarised>, MemoryError>;
    /// Stores a summary, if there was anything to say, with how it felt to the person.
    async fn store_summary(
        &self,
        of: &Unsummarised,
        summary: Option<&Summary>,
        mood: Option<Mood>,
    ) -> Result<(), MemoryError>;
    /// The newest summaries of a conversation's sessions that began before a time,
    /// oldest first; of a group, what those before were about stands in front.
    async fn summaries(&self, request: &RecallRequest, before_ms: i64) -> Result<Vec<String>, MemoryError>;
}

/// How a session felt to a person.
pub(crate) struct Felt {
    pub at_ms: i64,
    /// The session's; empty if it has none.
    pub title: String,
    pub mood: Mood,
}

/// How a person felt lately, and what comes up again and again.
#[async_trait]
pub(crate) trait Moods: Send + Sync {
    /// The newest sessions that are over, newest first.
    async fn felt(&self, user: &str, now_ms: i64) -> Result<Vec<Felt>, MemoryError>;
    /// Topics of several sessions, each with their number, what matters most first.
    async fn recurring(&self, user: &str, now_ms: i64) -> Result<Vec<(String, u64)>, MemoryError>;
}

/// Sessions of direct conversations. Nobody sees or changes another's.
#[async_trait]
pub(crate) trait Sessions: Send + Sync {
    /// Newest first, those before another if it is named.
    async fn list(
        &self,
        user: &str,
        archived: bool,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Session>, MemoryError>;
    async fn find(&self, user: &str, id: &str) -> Result<Option<Session>, MemoryError>;
    /// Oldest first, those before so many of the newest.
    async fn messages(&self, user: &str, id: &str, skip: u32, limit: u32) -> Result<Vec<HistoryMessage>, MemoryError>;
    async fn rename(&self, user: &str, id: &str, title: &str) -> Result<(), MemoryError>;
    /// Puts one away, or takes it back.
    async fn archive(&self, user: &str, id: &str, is_archived: bool) -> Result<(), MemoryError>;
}
