//! What the bus keeps of a turn: its journal, and the files that came with what it
//! answers. Both go when the turn is erased.

use bus::{Files, JournalStore};
use domain::ids::{ConversationId, TurnId};
use tracing::warn;

use crate::ports::{Facts, MemoryError};

#[derive(Clone)]
pub(crate) struct Traces {
    pub(crate) journals: JournalStore,
    pub(crate) files: Files,
}

impl Traces {
    /// Takes an erased turn off the bus; whether it is gone. Again is harmless.
    pub(crate) async fn purge(&self, facts: &dyn Facts, conversation: &ConversationId, turn: TurnId) -> bool {
        if let Err(why) = self.erase(conversation, turn).await {
            warn!(%turn, why, "failed to purge the journal of an erased turn; it will be tried again");
            return false;
        }
        if let Err(MemoryError(err)) = facts.note_purged(turn).await {
            warn!(%turn, error = %err, "failed to note that a journal is purged");
        }
        true
    }

    /// The files first: the journal alone says which they are.
    async fn erase(&self, conversation: &ConversationId, turn: TurnId) -> Result<(), String> {
        let journal = self.journals.read(conversation, turn).await.map_err(|err| err.to_string())?;
        let asked = journal.state().context.iter().flat_map(|context| &context.request.messages);
        for attachment in asked.flat_map(|message| &message.attachments) {
            self.files.erase(conversation, &attachment.file).await.map_err(|err| err.to_string())?;
        }
        self.journals.erase(conversation, turn).await.map_err(|err| err.to_string())
    }
}
