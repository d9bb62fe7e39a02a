//! Dead letters: messages that were put aside, for the operator.

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use bytes::Bytes;

use crate::conversations::missing;
use crate::publish::PATIENCE;
use crate::{Bus, BusError, PublishError};

/// Where a dead letter was going.
pub(crate) const SUBJECT: &str = "Clara-Subject";
/// Who could not handle it.
pub(crate) const CONSUMER: &str = "Clara-Consumer";
/// Why.
pub(crate) const REASON: &str = "Clara-Reason";
/// The id under which it was published.
pub(crate) const ID: &str = "Clara-Id";

/// A message that was put aside.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Its place among the dead letters, by which it is named.
    pub sequence: u64,
    pub subject: String,
    pub consumer: String,
    pub reason: String,
    pub id: String,
    /// When it was put aside, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub payload: Bytes,
}

/// Why a dead letter could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    #[error("there is no dead letter {0}; `clara dead list` names them")]
    Unknown(u64),
    #[error("dead letter {0} does not say where it was going; it can only be dropped")]
    Homeless(u64),
    #[error("it could not be published again")]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl DeadLetter {
    fn read(message: StreamMessage) -> Self {
        let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned()).unwrap_or_default();
        Self {
            sequence: message.sequence,
            subject: header(SUBJECT),
            consumer: header(CONSUMER),
            reason: header(REASON),
            id: header(ID),
            at_ms: i64::try_from(message.time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX),
            payload: message.payload.clone(),
        }
    }
}

impl Bus {
    /// The oldest dead letters, at most `limit`.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BusError> {
        let stream = self.dead_stream().await?;
        let (mut letters, mut next) = (Vec::new(), 1);
        while letters.len() < limit {
            match stream.get_first_raw_message_by_subject("clara.v1.dead.*", next).await {
                Ok(message) => {
                    next = message.sequence + 1;
                    letters.push(DeadLetter::read(message));
                }
                Err(err) if err.kind() == RawMessageErrorKind::NoMessageFound => break,
                Err(err) => return Err(missing("CLARA_DEAD", err)),
            }
        }
        Ok(letters)
    }

    pub async fn dead_letter(&self, sequence: u64) -> Result<DeadLetter, DeadLetterError> {
        match self.dead_stream().await?.get_raw_message(sequence).await {
            Ok(message) => Ok(DeadLetter::read(message)),
            Err(err) if err.kind() == RawMessageErrorKind::NoMessageFound => Err(DeadLetterError::Unknown(sequence)),
            Err(err) => Err(missing("CLARA_DEAD", err).into()),
        }
    }

    /// Publishes a dead letter where it was going, then drops it. Again under an
    /// id of its own: the first one may still be known as a duplicate.
    pub async fn replay_dead_letter(&self, sequence: u64) -> Result<DeadLetter, DeadLetterError> {
        let letter = self.dead_letter(sequence).await?;
        if letter.subject.is_empty() {
            return Err(DeadLetterError::Homeless(sequence));
        }
        let id = format!("{}:replay:{sequence}", letter.id);
        self.store_bytes(&letter.subject, &id, None, letter.payload.clone(), PATIENCE).await?;
        self.drop_dead_letter(sequence).await?;
        Ok(letter)
    }

    pub async fn drop_dead_letter(&self, sequence: u64) -> Result<(), DeadLetterError> {
        self.dead_letter(sequence).await?;
        let dropped = self.dead_stream().await?.delete_message(sequence).await;
        dropped.map(|_| ()).map_err(|err| missing("CLARA_DEAD", err).into())
    }

    async fn dead_stream(&self) -> Result<Stream<()>, BusError> {
        self.context.get_stream_no_info("CLARA_DEAD").await.map_err(|err| missing("CLARA_DEAD", err))
    }
}

/// The headers of a dead letter.
pub(crate) fn headers(original: Option<&HeaderMap>, subject: &str, consumer: &str, reason: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(SUBJECT, subject);
    headers.insert(CONSUMER, consumer);
    // A header is one line.
    headers.insert(REASON, reason.replace(['\r', '\n'], " ").as_str());
    if let Some(id) = original.and_then(|original| original.get(NATS_MESSAGE_ID)) {
        headers.insert(ID, id.as_str());
    }
    headers
}
