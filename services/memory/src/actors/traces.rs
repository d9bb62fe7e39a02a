//! What the bus keeps of turns: journals, tool results, replies shown, messages accepted,
//! dead letters, and the files that came with what was said. They go when what was said
//! is erased.

use bus::{Bus, BusError, Conversations, DeadLetter};
use domain::ids::{ConversationId, TurnId};
use tracing::warn;

use crate::ports::{Erased, Facts, FileOf, MemoryError};

/// Shortest text that is looked for, in bytes.
const LOOKED_FOR: usize = 8;
/// Dead letters that are looked through.
const DEAD_LETTERS: usize = 10_000;

#[derive(Clone)]
pub(crate) struct Traces {
    pub(crate) bus: Bus,
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

    /// Takes what an erased turn said and did off the bus; whether it is gone. Again is
    /// harmless.
    pub(crate) async fn erase(&self, conversation: &ConversationId, turn: TurnId) -> bool {
        let exchange = self.bus.erase_exchange(conversation, turn).await;
        self.erase_prompts(conversation, turn).await && is_gone("what was said in an erased turn", exchange)
    }

    /// Takes what a turn was worked out with off the bus; what was said in it stays.
    pub(crate) async fn erase_prompts(&self, conversation: &ConversationId, turn: TurnId) -> bool {
        is_gone("the journal of a turn", self.bus.erase_turn(conversation, turn).await)
    }

    /// The same for the files of what was erased, for good.
    pub(crate) async fn purge_file(&self, facts: &dyn Facts, of: &FileOf) -> bool {
        if !is_gone("a file", self.bus.erase_file(&of.conversation, of.file.as_ref()).await) {
            return false;
        }
        if let Err(MemoryError(err)) = facts.note_file_purged(of).await {
            warn!(error = %err, "failed to note that a file is purged");
        }
        true
    }

    /// Drops the dead letters that hold what was erased; gives how many are left.
    pub(crate) async fn drop_dead_letters(&self, erased: &Erased) -> u64 {
        let letters = match self.bus.dead_letters(DEAD_LETTERS).await {
            Ok(letters) => letters,
            Err(err) => {
                warn!(error = %err, "failed to look through the dead letters for what was erased");
                return 1;
            }
        };
        let mut left = 0;
        for letter in letters.iter().filter(|letter| is_of(letter, erased)) {
            if let Err(err) = self.bus.drop_dead_letter(letter.sequence).await {
                warn!(error = %err, "failed to drop a dead letter of what was erased");
                left += 1;
            }
        }
        left
    }
}

fn is_gone(what: &str, erased: Result<(), BusError>) -> bool {
    if let Err(err) = &erased {
        warn!(error = %err, "failed to erase {what}; it will be tried again");
    }
    erased.is_ok()
}

/// Whether a dead letter is of an erased turn, or of the same conversation and holds an erased
/// text: one that is long enough to stand for itself, as wherever else it is looked for.
fn is_of(letter: &DeadLetter, erased: &Erased) -> bool {
    let of_turn = |turn: &TurnId| letter.subject.ends_with(&turn.to_string()) || letter.id.contains(&turn.to_string());
    let of_conversation =
        |conversation: &ConversationId| letter.subject.split('.').any(|part| part == conversation.as_str());
    let holds = |text: &&String| letter.payload.windows(text.len()).any(|part| part == text.as_bytes());
    let texts = || erased.texts.iter().filter(|text| text.len() >= LOOKED_FOR && text.contains(' '));
    erased.turns.iter().any(|(conversation, turn)| {
        of_turn(turn) || (of_conversation(conversation) && texts().any(|text| holds(&text)))
    })
}
