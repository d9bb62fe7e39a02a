//! What people choose: their accounts, their reminders, their projects.

use async_trait::async_trait;
use domain::ids::ConversationId;
use domain::memory::{Count, Intention};

use super::MemoryError;

/// What came of a wish to be one person with another account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linking {
    /// The other side is to agree.
    Asked,
    Linked,
}

/// What an account has when it has parted from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unlinking {
    /// There were none.
    Alone,
    /// Everything: the others begin anew.
    Kept,
    /// Nothing yet: the others have what there was.
    Left,
}

/// One person, several accounts, one memory.
#[async_trait]
pub(crate) trait People: Send + Sync {
    /// Whose memory an account has: its own, unless it was linked.
    async fn person(&self, account: &str) -> Result<String, MemoryError>;
    /// All accounts of an account's person.
    async fn accounts(&self, account: &str) -> Result<Vec<String>, MemoryError>;
    /// Joins two persons when the other account has asked for the same within an hour.
    async fn link(&self, account: &str, wanted: &str, at_ms: i64) -> Result<Linking, MemoryError>;
    /// Parts an account from the others. What is remembered stays with one side.
    async fn unlink(&self, account: &str) -> Result<Unlinking, MemoryError>;
}

/// What people want to be reminded of.
#[async_trait]
pub(crate) trait Intentions: Send + Sync {
    /// Stores one; not when too many wait already.
    async fn intend(&self, user: &str, intention: &Intention, at_ms: i64) -> Result<bool, MemoryError>;
    /// Those that have not fired and are not over, what is most important first.
    async fn waiting(&self, user: &str, now_ms: i64) -> Result<Vec<Intention>, MemoryError>;
    /// Whether there was one.
    async fn dismiss(&self, user: &str, id: &str) -> Result<bool, MemoryError>;
}

/// What conversations are about, for a person who says so.
#[async_trait]
pub(crate) trait Projects: Send + Sync {
    /// From now on what is said there belongs to this project; empty: to none.
    async fn enter(
        &self,
        user: &str,
        conversation: &ConversationId,
        project: &str,
        at_ms: i64,
    ) -> Result<(), MemoryError>;
    /// The project of a conversation; empty for none.
    async fn project(&self, user: &str, conversation: &ConversationId) -> Result<String, MemoryError>;
    /// The person's projects with the number of their memories, by name.
    async fn projects(&self, user: &str) -> Result<Vec<Count>, MemoryError>;
}
