//! What the service needs from a database.

use async_trait::async_trait;
use domain::ids::TurnId;
use domain::memory::{Fact, HistoryMessage, RecallRequest};

use crate::projection::TurnRows;

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
