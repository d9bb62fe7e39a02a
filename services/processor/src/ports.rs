//! What the processor asks of others. Both may be away; neither is waited for
//! beyond its deadline.

use async_trait::async_trait;
use domain::ids::{ConversationId, FileId};
use domain::memory::{Comparison, RecallRequest, Recalled, Similarities};
use domain::tool::{ListTools, ToolSpec};

/// Somebody who was asked did not answer. The words are for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Away(pub(crate) String);

/// History and memories.
#[async_trait]
pub(crate) trait Recollection: Send + Sync {
    async fn recall(&self, request: &RecallRequest) -> Result<Recalled, Away>;
    /// How similar texts are to questions, by their meaning; no rows where nothing tells.
    async fn compare(&self, comparison: &Comparison) -> Result<Similarities, Away>;
}

/// What files hold that came with messages.
#[async_trait]
pub(crate) trait Files: Send + Sync {
    /// `None`: it is not kept any more.
    async fn read(&self, conversation: &ConversationId, file: &FileId) -> Result<Option<Vec<u8>>, Away>;
}

/// The tools that a person may use in a conversation.
#[async_trait]
pub(crate) trait Catalogue: Send + Sync {
    async fn tools(&self, asked: &ListTools) -> Result<Vec<ToolSpec>, Away>;
}
