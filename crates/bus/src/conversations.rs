//! The router's records: KV bucket `CLARA_CONVERSATIONS`, by compare-and-set.

use async_nats::jetstream::kv;
use domain::conversation::Conversation;
use domain::ids::ConversationId;
use proto::Wire;

use crate::{Bus, BusError, TopologyError};

/// The bucket.
#[derive(Clone)]
pub struct Conversations {
    store: kv::Store,
}

/// Why a record was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum ConversationsError {
    #[error("the record of conversation {0} cannot be read: {1}")]
    Corrupt(ConversationId, proto::InvalidMessage),
    #[error("somebody else wrote the record of conversation {0} first")]
    Conflict(ConversationId),
    #[error("the conversations bucket does not answer: {0}")]
    Unavailable(String),
}

impl Bus {
    pub async fn conversations(&self) -> Result<Conversations, BusError> {
        let store = self
            .context
            .get_key_value("CLARA_CONVERSATIONS")
            .await
            .map_err(|err| missing("CLARA_CONVERSATIONS", err))?;
        Ok(Conversations { store })
    }
}

pub(crate) fn missing(what: &str, err: impl std::fmt::Display) -> BusError {
    BusError::Topology(TopologyError::Create { what: what.to_owned(), why: err.to_string() })
}

impl Conversations {
    /// The record with its revision; a conversation nobody spoke in has none.
    pub async fn read(&self, id: &ConversationId) -> Result<(Conversation, Option<u64>), ConversationsError> {
        let entry =
            self.store.entry(id.as_str()).await.map_err(|err| ConversationsError::Unavailable(err.to_string()))?;
        match entry {
            Some(entry) if entry.operation == kv::Operation::Put => {
                let state = Conversation::from_wire(&entry.value)
                    .map_err(|err| ConversationsError::Corrupt(id.clone(), err))?;
                Ok((state, Some(entry.revision)))
            }
            Some(entry) => Ok((Conversation::default(), Some(entry.revision))),
            None => Ok((Conversation::default(), None)),
        }
    }

    /// Writes the record if it still stands at `revision`.
    pub async fn write(
        &self,
        id: &ConversationId,
        state: &Conversation,
        revision: Option<u64>,
    ) -> Result<(), ConversationsError> {
        let written = self.store.update(id.as_str(), state.to_wire().into(), revision.unwrap_or(0)).await;
        written.map(|_| ()).map_err(|err| match err.kind() {
            kv::UpdateErrorKind::WrongLastRevision => ConversationsError::Conflict(id.clone()),
            _ => ConversationsError::Unavailable(err.to_string()),
        })
    }
}
