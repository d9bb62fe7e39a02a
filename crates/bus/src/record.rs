//! Records by compare-and-set: one subject each, from begun to done.
//!
//! A record, not a deduplication window, is what makes a consumer idempotent: a
//! work queue forgets its window when the server restarts.

use std::marker::PhantomData;

use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use domain::delivery::DeliveryRecord;
use domain::ids::{CallId, TurnId};
use domain::tool::ToolRecord;
use proto::Wire;

use crate::conversations::missing;
use crate::{Bus, BusError, PublishError, Subject};

/// The records of one kind.
#[derive(Clone)]
pub struct Records<T> {
    bus: Bus,
    stream: Stream<()>,
    kind: PhantomData<fn() -> T>,
}

/// A record with its place, which the next write must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    pub value: T,
    pub sequence: u64,
}

/// Whether a write was the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Ours, at this place.
    Won { sequence: u64 },
    /// Somebody else wrote since.
    Lost,
}

impl Bus {
    pub async fn tool_records(&self) -> Result<Records<ToolRecord>, BusError> {
        self.records("CLARA_TOOL_RESULTS").await
    }

    pub async fn delivery_records(&self) -> Result<Records<DeliveryRecord>, BusError> {
        self.records("CLARA_DELIVERIES").await
    }

    async fn records<T>(&self, stream: &str) -> Result<Records<T>, BusError> {
        let found = self.context.get_stream_no_info(stream).await.map_err(|err| missing(stream, err))?;
        Ok(Records { bus: self.clone(), stream: found, kind: PhantomData })
    }
}

impl Records<ToolRecord> {
    pub async fn read(&self, call: CallId) -> Result<Option<Versioned<ToolRecord>>, PublishError> {
        self.read_at(Subject::ToolResult(call)).await
    }

    /// Writes over the record at `last` (0: none).
    pub async fn write(&self, call: CallId, last: u64, record: &ToolRecord) -> Result<Claim, PublishError> {
        let state = match record {
            ToolRecord::Started { .. } => "started",
            ToolRecord::Done(_) => "done",
        };
        self.write_at(Subject::ToolResult(call), &format!("{call}:{state}"), last, record).await
    }
}

impl Records<DeliveryRecord> {
    pub async fn read(&self, turn: TurnId, segment: u32) -> Result<Option<Versioned<DeliveryRecord>>, PublishError> {
        self.read_at(Subject::Delivery(turn, segment)).await
    }

    /// Writes over the record at `last` (0: none).
    pub async fn write(
        &self,
        turn: TurnId,
        segment: u32,
        last: u64,
        record: &DeliveryRecord,
    ) -> Result<Claim, PublishError> {
        let state = match record {
            DeliveryRecord::Sending { .. } => "sending",
            DeliveryRecord::Sent { .. } => "sent",
        };
        self.write_at(Subject::Delivery(turn, segment), &format!("{turn}:{segment}:{state}"), last, record).await
    }
}

impl<T: Wire> Records<T> {
    async fn read_at(&self, subject: Subject<'_>) -> Result<Option<Versioned<T>>, PublishError> {
        let subject = subject.to_string();
        let unavailable = |why: String| PublishError::Unavailable { subject: subject.clone(), why };
        match self.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => {
                let value = T::from_wire(&message.payload).map_err(|err| unavailable(err.to_string()))?;
                Ok(Some(Versioned { value, sequence: message.sequence }))
            }
            Err(err) if err.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(err) => Err(unavailable(err.to_string())),
        }
    }

    async fn write_at(&self, subject: Subject<'_>, id: &str, last: u64, record: &T) -> Result<Claim, PublishError> {
        // Every write has an id of its own, so that a race is a conflict and not a
        // duplicate that both sides take for their own. Retries of one write,
        // which keep its id, are made further down.
        let id = format!("{id}:{last}:{}", self.bus.client.new_inbox());
        match self.bus.compare_and_store(&subject.to_string(), &id, last, record).await {
            Ok(stored) => Ok(Claim::Won { sequence: stored.sequence }),
            Err(PublishError::Conflict { .. }) => Ok(Claim::Lost),
            Err(other) => Err(other),
        }
    }
}
