//! Projects journals into the history. Nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::{Delivery, Handler, JournalStore, Verdict};
use domain::ids::{ConversationId, TurnId};
use domain::journal::{Entry, Record};
use service_kit::crash::{CrashPoint, crash_point};
use tracing::warn;

use crate::ports::{Memory, MemoryError};
use crate::projection;

/// Wait before a record is tried again while the database is away.
const RETRY: Duration = Duration::from_secs(2);

pub(crate) struct Projector {
    pub(crate) memory: Arc<dyn Memory>,
    pub(crate) journals: JournalStore,
}

#[async_trait]
impl Handler<Record> for Projector {
    async fn handle(&self, record: Record, delivery: &Delivery) -> Verdict {
        let adds = |entry: &Entry| matches!(entry, Entry::ContextFixed(_) | Entry::ReplyReady(_));
        if !record.entries.iter().any(adds) {
            return Verdict::Done;
        }
        let mut parts = delivery.subject().rsplit('.');
        let ids = (parts.next().map(TurnId::parse), parts.next().map(ConversationId::parse));
        let (Some(Ok(turn)), Some(Ok(conversation))) = ids else {
            return Verdict::Dead("its subject names no turn".into());
        };
        match project(self.memory.as_ref(), &self.journals, &conversation, turn).await {
            Ok(()) => {
                crash_point(CrashPoint::Caused);
                Verdict::Done
            }
            Err(why) => {
                warn!(%turn, why, "failed to project a turn; it will be tried again");
                Verdict::RetryAfter(RETRY)
            }
        }
    }
}

/// Brings one turn's messages into the history, as far as its journal goes.
pub(crate) async fn project(
    memory: &dyn Memory,
    journals: &JournalStore,
    conversation: &ConversationId,
    turn: TurnId,
) -> Result<(), String> {
    let records = journals.records(conversation, turn).await.map_err(|err| err.to_string())?;
    let context = records.iter().flat_map(|recorded| &recorded.record.entries).find_map(|entry| match entry {
        Entry::ContextFixed(context) => Some(context.as_ref()),
        _ => None,
    });
    for recorded in &records {
        if let Some(rows) = projection::rows(recorded.stored_at_us, &recorded.record, context) {
            memory.store_turn(&rows).await.map_err(describe)?;
        }
    }
    Ok(())
}

pub(crate) fn describe(MemoryError(err): MemoryError) -> String {
    match std::error::Error::source(&err) {
        Some(source) => format!("{err}: {source}"),
        None => err.to_string(),
    }
}
