//! What the bus keeps of turns: their journals, and the files that came with what was
//! said. Both go when what was said is erased.

use bus::{Conversations, Files, JournalStore};
use domain::ids::{ConversationId, TurnId};
use tracing::warn;

use crate::ports::{Facts, FileOf, MemoryError};

#[derive(Clone)]
pub(crate) struct Traces {
    pub(crate) journals: JournalStore,
    pub(crate) files: Files,
    pub(crate) conversations: Conversations,
}

impl Traces {
    /// Whether a turn has ended, and no answer to its question would go on with it.
    pub(crate) async fn has_ended(&self, conversation: &ConversationId, turn: TurnId) -> bool {
        match self.conversations.read(conversation).await {
            Ok((state, _)) => {
                let is_active = state.active.is_some_and(|active| active.turn == turn);
                let is_asking = state.asked.is_some_and(|asked| asked.turn == turn);
                !is_active && !is_asking
            }
            Err(err) => {
                warn!(%turn, error = %err, "failed to read whether a turn has ended; it will be tried again");
                false
            }
        }
    }

    /// Takes the journal of an erased turn off the bus; whether it is gone. Again is
    /// harmless.
    pub(crate) async fn purge(&self, facts: &dyn Facts, conversation: &ConversationId, turn: TurnId) -> bool {
        if let Err(err) = self.journals.erase(conversation, turn).await {
            warn!(%turn, error = %err, "failed to purge the journal of an erased turn; it will be tried again");
            return false;
        }
        if let Err(MemoryError(err)) = facts.note_purged(turn).await {
            warn!(%turn, error = %err, "failed to note that a journal is purged");
        }
        true
    }

    /// The same for the files of what was erased.
    pub(crate) async fn purge_file(&self, facts: &dyn Facts, of: &FileOf) -> bool {
        if let Err(err) = self.files.erase(&of.conversation, of.file.as_ref()).await {
            warn!(error = %err, "failed to purge a file of what was erased; it will be tried again");
            return false;
        }
        if let Err(MemoryError(err)) = facts.note_file_purged(of).await {
            warn!(error = %err, "failed to note that a file is purged");
        }
        true
    }
}
