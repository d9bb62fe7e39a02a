//! The records that this replica wrote last, so that they are not read again.
//!
//! One may be out of date when another replica has written since: then the
//! compare-and-set that follows fails, and the bus is asked at once. It is never too
//! new, so an event that it knows as applied was applied.

use std::collections::HashMap;

use domain::conversation::Conversation;
use domain::ids::ConversationId;
use tokio::sync::Mutex;

/// Records that are kept, at most. Each is smaller than a message of the bus.
const RECORDS: usize = 64;

#[derive(Default)]
pub(crate) struct Recent(Mutex<HashMap<ConversationId, (Conversation, u64)>>);

impl Recent {
    /// Takes a record out, with its revision: whoever fails to write it must not
    /// find it again.
    pub(crate) async fn take(&self, id: &ConversationId) -> Option<(Conversation, u64)> {
        self.0.lock().await.remove(id)
    }

    pub(crate) async fn keep(&self, id: ConversationId, state: Conversation, revision: u64) {
        let mut records = self.0.lock().await;
        if records.len() >= RECORDS {
            records.clear();
        }
        records.insert(id, (state, revision));
    }
}
