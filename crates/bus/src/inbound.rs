//! What the inbound stream keeps: handled messages make room after a while.
//!
//! A limits stream keeps what was acknowledged, so that its duplicate window
//! survives a restart of the server. Were nothing ever taken out, it would fill
//! up and refuse everything, the end of turns included.

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::RawMessageErrorKind;
use domain::ids::{ConversationId, PARTITIONS};
use futures::{StreamExt, TryStreamExt, stream};

use crate::conversations::missing;
use crate::{Bus, BusError, Subject};

/// Partitions that are asked at the same time.
const PARALLEL: usize = 16;

/// How far each partition has been handled: everything at or below is acked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handled(Vec<u64>);

impl Bus {
    /// Whether some queue holds work of a conversation: a turn to be prepared or
    /// run, or a reply to be delivered.
    pub async fn has_work(&self, conversation: &ConversationId) -> Result<bool, BusError> {
        let run = Subject::TurnRun(conversation).to_string();
        let prepare = Subject::TurnPrepare(conversation).to_string();
        let outbound = format!("clara.v1.outbound.*.{conversation}");
        for (name, subject) in [("CLARA_TURNS", run), ("CLARA_TURNS", prepare), ("CLARA_OUTBOUND", outbound)] {
            let stream = self.context.get_stream_no_info(name).await.map_err(|err| missing(name, err))?;
            match stream.get_first_raw_message_by_subject(&subject, 1).await {
                Ok(_) => return Ok(true),
                Err(err) if err.kind() == RawMessageErrorKind::NoMessageFound => {}
                Err(err) => return Err(missing(name, err)),
            }
        }
        Ok(false)
    }

    pub async fn inbound_handled(&self) -> Result<Handled, BusError> {
        let broken = |err: &dyn std::fmt::Display| missing("CLARA_INBOUND", err);
        let stream = self.context.get_stream_no_info("CLARA_INBOUND").await.map_err(|err| broken(&err))?;
        let floors = stream::iter(0..PARTITIONS).map(|partition| {
            let stream = stream.clone();
            async move {
                let found: Result<PullConsumer, _> = stream.get_consumer(&format!("router-{partition}")).await;
                found
                    .map(|found| found.cached_info().ack_floor.stream_sequence)
                    .map_err(|err| missing("CLARA_INBOUND", err))
            }
        });
        Ok(Handled(floors.buffered(PARALLEL).try_collect().await?))
    }

    /// Takes handled messages out; gives how many there were.
    pub async fn purge_inbound(&self, handled: &Handled) -> Result<u64, BusError> {
        let stream =
            self.context.get_stream_no_info("CLARA_INBOUND").await.map_err(|err| missing("CLARA_INBOUND", err))?;
        let mut purged = 0;
        for (partition, floor) in handled.0.iter().enumerate().filter(|(_, floor)| **floor > 0) {
            // Up to, and without, this sequence.
            let purge = stream.purge().filter(format!("clara.v1.inbound.{partition}.*")).sequence(floor + 1);
            purged += purge.await.map_err(|err| missing("CLARA_INBOUND", err))?.purged;
        }
        Ok(purged)
    }

    /// How many messages the inbound stream keeps.
    pub async fn inbound_kept(&self) -> Result<u64, BusError> {
        let stream = self.context.get_stream("CLARA_INBOUND").await.map_err(|err| missing("CLARA_INBOUND", err))?;
        Ok(stream.cached_info().state.messages)
    }
}
