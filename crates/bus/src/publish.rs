//! Storing a message: once, fenced where asked, within a deadline.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use proto::Wire;
use tokio::time::Instant;

use crate::{Bus, Subject, trace};

/// How long the services go on trying to store a message. Shorter than the 30 s
/// after which an unacknowledged message goes to another replica, so that a
/// cut-off owner gives up first; longer than the ten seconds that a cluster may
/// take to elect a leader.
pub(crate) const PATIENCE: Duration = Duration::from_secs(24);
/// How long one try waits for its acknowledgement.
const ACK: Duration = Duration::from_secs(2);
/// How long an adapter tries before it tells the person that the bus is full or
/// away.
pub(crate) const INGRESS_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Somebody else wrote to the subject since.
    #[error("somebody else wrote to {subject} first")]
    Conflict { subject: String },
    #[error("the stream that keeps {subject} is full")]
    Full { subject: String },
    #[error("a message of {bytes} bytes is too large for the bus")]
    TooLarge { bytes: usize },
    #[error("the bus did not store the message for {subject} in time: {why}")]
    Unavailable { subject: String, why: String },
}

/// Where a message was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    pub sequence: u64,
    /// It had been stored before, under the same id.
    pub duplicate: bool,
}

/// Whether a message stands alone in its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    Stored,
    /// Another message stands there.
    Taken,
}

impl Bus {
    /// Stores a message under an id: the same id again is the same message.
    pub async fn store(&self, subject: Subject<'_>, id: &str, message: &impl Wire) -> Result<Stored, PublishError> {
        self.store_bytes(&subject.to_string(), id, None, message.to_wire().into(), PATIENCE).await
    }

    /// Stores a message unless its subject holds one already, and says whether
    /// that one is this one.
    pub async fn store_alone(
        &self,
        subject: Subject<'_>,
        id: &str,
        message: &impl Wire,
    ) -> Result<Alone, PublishError> {
        let (subject, payload) = (subject.to_string(), Bytes::from(message.to_wire()));
        match self.store_bytes(&subject, id, Some(0), payload, PATIENCE).await {
            Ok(_) => Ok(Alone::Stored),
            Err(PublishError::Conflict { .. }) => {
                let unavailable = |why: String| PublishError::Unavailable { subject: subject.clone(), why };
                let stream =
                    self.context.get_stream_no_info("CLARA_TURNS").await.map_err(|err| unavailable(err.to_string()))?;
                match stream.get_last_raw_message_by_subject(&subject).await {
                    Ok(found) if found.headers.get(NATS_MESSAGE_ID).is_some_and(|known| known.as_str() == id) => {
                        Ok(Alone::Stored)
                    }
                    Ok(_) => Ok(Alone::Taken),
                    // It has gone meanwhile.
                    Err(_) => Ok(Alone::Taken),
                }
            }
            Err(other) => Err(other),
        }
    }

    /// Stores a person's message: gives up soon, so that the person hears of it.
    pub async fn accept(&self, subject: Subject<'_>, id: &str, message: &impl Wire) -> Result<Stored, PublishError> {
        self.store_bytes(&subject.to_string(), id, None, message.to_wire().into(), INGRESS_PATIENCE).await
    }

    /// Stores a message if the last one of its subject stands at `last` (0: none).
    pub(crate) async fn compare_and_store(
        &self,
        subject: &str,
        id: &str,
        last: u64,
        message: &impl Wire,
    ) -> Result<Stored, PublishError> {
        self.store_bytes(subject, id, Some(last), message.to_wire().into(), PATIENCE).await
    }

    pub(crate) async fn store_bytes(
        &self,
        subject: &str,
        id: &str,
        last: Option<u64>,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Stored, PublishError> {
        self.store_with(HeaderMap::new(), subject, id, last, payload, patience).await
    }

    /// The same, with more headers.
    pub(crate) async fn store_with(
        &self,
        mut headers: HeaderMap,
        subject: &str,
        id: &str,
        last: Option<u64>,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Stored, PublishError> {
        let deadline = Instant::now() + patience;
        let unavailable = |why: String| PublishError::Unavailable { subject: subject.to_owned(), why };
        headers.insert(NATS_MESSAGE_ID, id);
        if let Some(last) = last {
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, last.to_string().as_str());
        }
        trace::inject(&mut headers);
        loop {
            let message = PublishMessage::build().headers(headers.clone()).payload(payload.clone());
            let attempt = async { self.context.send_publish(subject.to_owned(), message).await?.await };
            let failure = match tokio::time::timeout_at(deadline.min(Instant::now() + ACK), attempt).await {
                Err(_) if Instant::now() >= deadline => return Err(unavailable("time-out".into())),
                // The acknowledgement may be lost: the same id makes trying again safe.
                Err(_) => continue,
                Ok(Ok(ack)) => return Ok(Stored { sequence: ack.sequence, duplicate: ack.duplicate }),
                Ok(Err(failure)) => failure,
            };
            match failure.kind() {
                PublishErrorKind::WrongLastSequence => {
                    return Err(PublishError::Conflict { subject: subject.to_owned() });
                }
                PublishErrorKind::MaxPayloadExceeded => return Err(PublishError::TooLarge { bytes: payload.len() }),
                PublishErrorKind::Other if is_full(&failure) => {
                    return Err(PublishError::Full { subject: subject.to_owned() });
                }
                // The same id makes trying again safe.
                _ if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(100)).await,
                _ => return Err(unavailable(failure.to_string())),
            }
        }
    }
}

/// Whether the server refused because a limit is reached (errors 10047 and
/// 10077, and the stream limits of `discard: new`).
fn is_full(failure: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(failure);
    while let Some(err) = cause {
        let text = err.to_string();
        if ["maximum bytes exceeded", "maximum messages exceeded", "insufficient resources", "insufficient storage"]
            .iter()
            .any(|phrase| text.contains(phrase))
        {
            return true;
        }
        cause = err.source();
    }
    false
}
