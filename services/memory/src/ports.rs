//! What the service needs from a database.

use async_trait::async_trait;
use domain::ids::TurnId;
use domain::memory::{Fact, HistoryMessage, RecallRequest};
use recall::Embedding;

use crate::projection::TurnRows;
use crate::scope::Scope;

/// Why the database did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the memory database did not answer")]
pub(crate) struct MemoryError(#[from] pub(crate) store::StoreError);

/// Sessions, messages and facts. Every write is idempotent by its ids.
#[async_trait]
pub(crate) trait Memory: Send + Sync {
    /// Stores the messages of a turn, in the session they belong to.
    async fn store_turn(&self, rows: &TurnRows) -> Result<(), MemoryError>;
    /// Whether the reply of a turn is in the history.
    async fn has_reply(&self, turn: TurnId) -> Result<bool, MemoryError>;
    /// The newest messages, oldest first.
    async fn history(&self, request: &RecallRequest) -> Result<Vec<HistoryMessage>, MemoryError>;
    async fn remember(&self, user: &str, fact: &Fact) -> Result<Fact, MemoryError>;
    /// The facts that match the words best; none for words that are all common.
    async fn search(&self, user: &str, query: &str, limit: u32) -> Result<Vec<Fact>, MemoryError>;
    /// Newest first.
    async fn list(&self, user: &str, limit: u32) -> Result<Vec<Fact>, MemoryError>;
    /// Forgets these facts, and says which there were.
    async fn forget(&self, user: &str, ids: &[String]) -> Result<Vec<Fact>, MemoryError>;
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

/// A passage that has no vectors of the model in use.
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
    /// What was said after a position, in order, with vectors of this model.
    async fn after(&self, scope: &Scope, position: i64, model: &str) -> Result<Vec<Stored>, MemoryError>;
    /// Whether a person may see what was said there.
    async fn is_participant(&self, scope: &Scope, user: &str) -> Result<bool, MemoryError>;
    /// Queues everything that has no vectors of this model.
    async fn embed_all(&self, model: &str) -> Result<(), MemoryError>;
    /// Newest first.
    async fn unembedded(&self, limit: u32) -> Result<Vec<Unembedded>, MemoryError>;
    async fn count_unembedded(&self) -> Result<u64, MemoryError>;
    async fn store_vectors(&self, model: &str, of: &Unembedded, vectors: &Embedding) -> Result<(), MemoryError>;
}
