//! The router's records: KV bucket `CLARA_CONVERSATIONS`, by compare-and-set.

use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::kv;
use domain::conversation::Conversation;
use domain::ids::{ConversationId, TurnId};
use futures::StreamExt;
use proto::Wire;
use tracing::warn;

use crate::{Bus, BusError, TopologyError};

/// How long the next record of a stretch may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Room for the headers of a write, in bytes.
const HEADERS: usize = 1024;

/// The bucket.
#[derive(Clone)]
pub struct Conversations {
    store: kv::Store,
    /// Largest message of the bus, in bytes.
    max_payload: usize,
}

/// Records of a stretch of the bucket.
pub struct Written {
    /// Each conversation with the turn that runs in it.
    pub active: Vec<(ConversationId, Option<TurnId>)>,
    /// The place of the last one.
    pub last: u64,
}

/// Why a record was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum ConversationsError {
    #[error("the record of conversation {0} cannot be read: {1}")]
    Corrupt(ConversationId, proto::InvalidMessage),
    #[error("somebody else wrote the record of conversation {0} first")]
    Conflict(ConversationId),
    #[error("the record of conversation {0} has {1} bytes, which is too large for the bus")]
    TooLarge(ConversationId, usize),
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
        Ok(Conversations { store, max_payload: self.max_payload() })
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

    /// The records that were written after a place in the bucket, oldest first,
    /// each in its newest form; with the place of the last one.
    pub async fn written_after(&self, after: u64) -> Result<Written, ConversationsError> {
        let mut active = Vec::new();
        let last =
            self.each_after(after, |id, state| active.push((id, state.active.map(|active| active.turn)))).await?;
        Ok(Written { active, last })
    }

    /// The conversations whose last turn ended with a question that nobody has answered,
    /// the oldest question first; so many at most.
    pub async fn asking(&self, limit: usize) -> Result<Vec<(ConversationId, Conversation)>, ConversationsError> {
        let mut asking = Vec::new();
        self.each_after(0, |id, state| {
            if state.asked.is_some() && state.active.is_none() {
                asking.push((id, state));
            }
        })
        .await?;
        asking.sort_by_key(|(_, state)| state.asked.as_ref().map(|asked| asked.at_ms));
        asking.truncate(limit);
        Ok(asking)
    }

    /// Reads the records that were written after a place; gives the place of the last one.
    async fn each_after(
        &self,
        after: u64,
        mut each: impl FnMut(ConversationId, Conversation),
    ) -> Result<u64, ConversationsError> {
        let unavailable = |err: &dyn std::fmt::Display| ConversationsError::Unavailable(err.to_string());
        let mut last = after;
        let info = self.store.stream.get_info().await.map_err(|err| unavailable(&err))?;
        if info.state.last_sequence < after {
            // A bucket that was restored begins again.
            return Ok(0);
        }
        if info.state.last_sequence == after || info.state.messages == 0 {
            return Ok(after);
        }
        let config = pull::OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after + 1 },
            ..Default::default()
        };
        let consumer = self.store.stream.create_consumer(config).await.map_err(|err| unavailable(&err))?;
        let mut messages = consumer.messages().await.map_err(|err| unavailable(&err))?;
        while last < info.state.last_sequence {
            let next = tokio::time::timeout(PATIENCE, messages.next()).await;
            let message = match next {
                Ok(Some(message)) => message.map_err(|err| unavailable(&err))?,
                Ok(None) | Err(_) => return Err(unavailable(&"the bucket stopped answering")),
            };
            let info = message.info().map_err(|err| unavailable(&err))?;
            (last, _) = (info.stream_sequence, info.pending);
            let key = message.subject.rsplit('.').next().unwrap_or_default();
            match (ConversationId::parse(key), Conversation::from_wire(&message.payload)) {
                (Ok(id), Ok(state)) => each(id, state),
                (_, Err(err)) => warn!(key, error = %err, "skipped a record that cannot be read"),
                (Err(_), _) => {}
            }
            if info.pending == 0 {
                break;
            }
        }
        Ok(last)
    }

    /// Writes the record if it still stands at `revision`; gives its new one.
    pub async fn write(
        &self,
        id: &ConversationId,
        state: &Conversation,
        revision: Option<u64>,
    ) -> Result<u64, ConversationsError> {
        let record = state.to_wire();
        if record.len() + HEADERS > self.max_payload {
            return Err(ConversationsError::TooLarge(id.clone(), record.len()));
        }
        let written = self.store.update(id.as_str(), record.into(), revision.unwrap_or(0)).await;
        written.map_err(|err| match err.kind() {
            kv::UpdateErrorKind::WrongLastRevision => ConversationsError::Conflict(id.clone()),
            _ => ConversationsError::Unavailable(err.to_string()),
        })
    }
}
