//! What terminals show: stream `CLARA_TERMINAL`, the store of the `cli` platform.
//!
//! One subject a reply, written once by compare-and-set: the same reply sent
//! again, by whichever replica, finds itself there.

use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use domain::ids::{ConversationId, TurnId};
use domain::turn::Reply;
use futures::StreamExt;
use proto::Wire;
use tracing::debug;

use crate::conversations::missing;
use crate::{Bus, BusError, PublishError, Subject};

/// Where a reply stands among those that terminals show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    pub sequence: u64,
}

/// The replies of one conversation as they come.
pub struct TerminalLog {
    messages: pull::Ordered,
}

impl Bus {
    /// Shows a reply, once.
    pub async fn show_reply(&self, reply: &Reply) -> Result<Shown, PublishError> {
        let subject = Subject::Terminal(&reply.conversation, reply.turn).to_string();
        match self.compare_and_store(&subject, &subject, 0, reply).await {
            Ok(stored) => Ok(Shown { sequence: stored.sequence }),
            Err(PublishError::Conflict { .. }) => {
                let unavailable = |why: String| PublishError::Unavailable { subject: subject.clone(), why };
                let stream = self
                    .context
                    .get_stream_no_info("CLARA_TERMINAL")
                    .await
                    .map_err(|err| unavailable(err.to_string()))?;
                let found = stream
                    .get_last_raw_message_by_subject(&subject)
                    .await
                    .map_err(|err| unavailable(err.to_string()))?;
                Ok(Shown { sequence: found.sequence })
            }
            Err(other) => Err(other),
        }
    }

    /// The reply of a turn, if it was shown.
    pub async fn shown_reply(&self, conversation: &ConversationId, turn: TurnId) -> Result<Option<Reply>, BusError> {
        let broken = |err: &dyn std::fmt::Display| missing("CLARA_TERMINAL", err);
        let stream = self.context.get_stream_no_info("CLARA_TERMINAL").await.map_err(|err| broken(&err))?;
        match stream.get_last_raw_message_by_subject(&Subject::Terminal(conversation, turn).to_string()).await {
            Ok(found) => Reply::from_wire(&found.payload).map(Some).map_err(|err| broken(&err)),
            Err(err) if err.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(err) => Err(broken(&err)),
        }
    }

    /// Follows the replies of a conversation: from now on, or all after the one
    /// at `after`.
    pub async fn follow_replies(
        &self,
        conversation: &ConversationId,
        after: Option<u64>,
    ) -> Result<TerminalLog, BusError> {
        let broken = |err: &dyn std::fmt::Display| missing("CLARA_TERMINAL", err);
        let stream = self.context.get_stream("CLARA_TERMINAL").await.map_err(|err| broken(&err))?;
        let last = stream.cached_info().state.last_sequence;
        let start_sequence = after.map_or(last, |after| after.min(last)) + 1;
        let config = OrderedConfig {
            filter_subject: Subject::Terminals(conversation).to_string(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
            ..OrderedConfig::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(|err| broken(&err))?;
        let messages = consumer.messages().await.map_err(|err| broken(&err))?;
        Ok(TerminalLog { messages })
    }
}

impl TerminalLog {
    /// The next reply with its place. `None` when the bus is gone for good.
    pub async fn next(&mut self) -> Option<(u64, Reply)> {
        loop {
            match self.messages.next().await? {
                Ok(message) => {
                    let sequence = message.info().map_or(0, |info| info.stream_sequence);
                    match Reply::from_wire(&message.payload) {
                        Ok(reply) => return Some((sequence, reply)),
                        Err(err) => debug!(error = %err, "skipped a reply that cannot be read"),
                    }
                }
                Err(err) => debug!(error = %err, "following replies failed; trying again"),
            }
        }
    }
}
