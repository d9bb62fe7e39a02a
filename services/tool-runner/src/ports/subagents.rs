//! The sub-agents of conversations.

use async_trait::async_trait;
use domain::ids::{ConversationId, MessageId};

use super::DatabaseError;

/// A turn that another one began to have a part of its work done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) id: String,
    /// Where it runs.
    pub(crate) conversation: ConversationId,
    /// What it was asked with.
    pub(crate) message: MessageId,
    pub(crate) started_at_ms: i64,
    /// The tools that it may use, by their names or groups; empty: all that its person may.
    pub(crate) tools: Vec<String>,
}

/// The sub-agents of conversations.
#[async_trait]
pub(crate) trait Children: Send + Sync {
    /// Adds one after all that are there, whatever its clock says. The same again is harmless.
    async fn add(&self, parent: &ConversationId, child: &Child) -> Result<(), DatabaseError>;
    async fn remove(&self, parent: &ConversationId, id: &str) -> Result<(), DatabaseError>;
    /// Newest first.
    async fn of(&self, parent: &ConversationId, limit: u32) -> Result<Vec<Child>, DatabaseError>;
    /// What a conversation may use, if it is a sub-agent's that was given some tools alone.
    async fn tools(&self, conversation: &ConversationId) -> Result<Vec<String>, DatabaseError>;
    async fn is_child(&self, conversation: &ConversationId) -> Result<bool, DatabaseError>;
}
