//! What the bus keeps of turns: their journals, and the files that came with what was
//! said. Both go when what was said is erased.

use bus::{Files, JournalStore};
use domain::ids::{ConversationId, TurnId};
use tracing::warn;

use crate::ports::{Facts, FileOf, MemoryError};

#[derive(Clone)]
pub(crate) struct Traces {
    pub(crate) journals: JournalStore,
    pub(crate) files: Files,
}

impl Traces {
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
