//! Projects journals into the history. Nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::{Delivery, Handler, JournalStore, Verdict};
use domain::ids::{ConversationId, TurnId};
use domain::journal::{Entry, Record, TurnState};
use service_kit::crash::{CrashPoint, crash_point};
use tracing::warn;

use crate::background::Bell;
use crate::ports::{Memory, MemoryError, Projected};
use crate::projection;

/// Wait before a record is tried again while the database is away.
const RETRY: Duration = Duration::from_secs(2);

pub(crate) struct Projector {
    pub(crate) memory: Arc<dyn Memory>,
    pub(crate) journals: JournalStore,
    /// Rings for the embedder and the learner.
    pub(crate) stored: Bell,
}

#[async_trait]
impl Handler<Record> for Projector {
    async fn handle(&self, record: Record, delivery: &Delivery) -> Verdict {
        // Once a turn, when all of it is known.
        if !record.entries.iter().any(|entry| matches!(entry, Entry::ReplyReady(_))) {
            return Verdict::Done;
        }
        let mut parts = delivery.subject().rsplit('.');
        let ids = (parts.next().map(TurnId::parse), parts.next().map(ConversationId::parse));
        let (Some(Ok(turn)), Some(Ok(conversation))) = ids else {
            return Verdict::Dead("its subject names no turn".into());
        };
        // The next turn's recall may have been faster.
        if let Ok(true) = self.memory.has_reply(turn).await {
            return Verdict::Done;
        }
        match project(self.memory.as_ref(), &self.journals, &conversation, turn).await {
            Ok(projected) => {
                if projected == Projected::Waits {
                    self.stored.ring();
                }
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
) -> Result<Projected, String> {
    let records = journals.records(conversation, turn).await.map_err(|err| err.to_string())?;
    let context = records.iter().flat_map(|recorded| &recorded.record.entries).find_map(|entry| match entry {
        Entry::ContextFixed(context) => Some(context.as_ref()),
        _ => None,
    });
    let state = TurnState::fold(records.iter().map(|recorded| &recorded.record));
    let rows = records
        .iter()
        .filter_map(|recorded| projection::rows(recorded.stored_at_us, &recorded.record, context, &state.injected));
    let all = rows.reduce(|mut all, next| {
        all.messages.extend(next.messages);
        all.used.extend(next.used);
        all.reminded.extend(next.reminded);
        all
    });
    match all {
        Some(rows) => memory.store_turn(&rows).await.map_err(describe),
        None => Ok(Projected::Whole),
    }
}

pub(crate) fn describe(MemoryError(err): MemoryError) -> String {
    match std::error::Error::source(&err) {
        Some(source) => format!("{err}: {source}"),
        None => err.to_string(),
    }
}
