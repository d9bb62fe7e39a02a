//! What the bus keeps of turns: journals, tool results, replies shown, messages accepted,
//! dead letters, and the files that came with what was said. They go when what was said
//! is erased.

use std::collections::BTreeSet;

use bus::{Bus, BusError, Conversations, DeadLetter, DeadLetterError};
use domain::ids::{ConversationId, TurnId};
use futures::{StreamExt, stream};
use tracing::warn;

use crate::ports::{Erased, Facts, FileOf, MemoryError, is_looked_for};

/// Dead letters that are looked through.
const DEAD_LETTERS: usize = 10_000;
/// Turns that are erased at once.
const AT_ONCE: usize = 16;

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
        let accepted = self.erase_accepted(conversation).await;
        self.erase_shown(conversation, turn).await && accepted
    }

    /// The same for many turns; gives how many turns, and conversations, are not gone.
    pub(crate) async fn erase_all(&self, turns: &[(ConversationId, TurnId)]) -> u64 {
        let mut left = 0;
        for conversation in turns.iter().map(|(conversation, _)| conversation).collect::<BTreeSet<_>>() {
            left += u64::from(!self.erase_accepted(conversation).await);
        }
        let shown = stream::iter(turns.to_vec()).map(|(conversation, turn)| {
            let traces = self.clone();
            async move { traces.erase_shown(&conversation, turn).await }
        });
        let left_of_turns = shown.buffer_unordered(AT_ONCE).filter(|is_gone| std::future::ready(!is_gone)).count();
        left + left_of_turns.await as u64
    }

    async fn erase_accepted(&self, conversation: &ConversationId) -> bool {
        is_gone("what was accepted in an erased conversation", self.bus.erase_accepted(conversation).await)
    }

    /// What a turn said, and what it was worked out with.
    async fn erase_shown(&self, conversation: &ConversationId, turn: TurnId) -> bool {
        let shown = self.bus.erase_shown(conversation, turn).await;
        self.erase_prompts(conversation, turn).await && is_gone("what was said in an erased turn", shown)
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

    /// Drops the dead letters that hold what was erased; gives how many are left, and one more
    /// when there are more than were looked through.
    pub(crate) async fn drop_dead_letters(&self, erased: &Erased) -> u64 {
        let letters = match self.bus.dead_letters(DEAD_LETTERS).await {
            Ok(letters) => letters,
            Err(err) => {
                warn!(error = %err, "failed to look through the dead letters for what was erased");
                return 1;
            }
        };
        let mut left = u64::from(letters.len() >= DEAD_LETTERS);
        for letter in letters.iter().filter(|letter| is_of(letter, erased)) {
            match self.bus.drop_dead_letter(letter.sequence).await {
                // Another replica may have been faster.
                Ok(()) | Err(DeadLetterError::Unknown(_)) => {}
                Err(err) => {
                    warn!(error = %err, "failed to drop a dead letter of what was erased");
                    left += 1;
                }
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

/// Whether a dead letter is of an erased turn, of a conversation of which everything was
/// erased, or of the conversation of an erased turn and holds an erased text, in either case.
fn is_of(letter: &DeadLetter, erased: &Erased) -> bool {
    let of_turn = |turn: &TurnId| letter.subject.ends_with(&turn.to_string()) || letter.id.contains(&turn.to_string());
    let of_conversation =
        |conversation: &ConversationId| letter.subject.split('.').any(|part| part == conversation.as_str());
    let payload = String::from_utf8_lossy(&letter.payload).to_lowercase();
    let holds_text =
        || erased.texts.iter().any(|text| is_looked_for(text) && payload.contains(text.to_lowercase().as_str()));
    erased.conversations.iter().any(of_conversation)
        || erased
            .turns
            .iter()
            .any(|(conversation, turn)| of_turn(turn) || (of_conversation(conversation) && holds_text()))
}

#[cfg(test)]
mod tests {
    use domain::ids::{MessageId, Place};

    use super::*;

    fn letter(subject: String, id: &str, payload: &str) -> DeadLetter {
        let (consumer, reason) = ("router".to_owned(), "poison".to_owned());
        let (id, payload) = (id.to_owned(), payload.as_bytes().to_vec().into());
        DeadLetter { sequence: 1, subject, consumer, reason, id, at_ms: 0, payload }
    }

    fn conversation(channel: &str) -> ConversationId {
        let (platform, tenant, thread) = ("cli".into(), "local".into(), String::new());
        ConversationId::derive(&Place { platform, tenant, channel: channel.into(), thread })
    }

    #[test]
    fn dead_letters_go_with_their_turn_their_words_and_their_conversation() {
        let (own, other) = (conversation("own"), conversation("other"));
        let turn = TurnId::derive(&own, &MessageId::new("cli", "1").unwrap());
        let text = "My hint is Quokka".to_owned();
        let erased = Erased { turns: vec![(own.clone(), turn)], texts: vec![text], ..Erased::default() };
        let of = |conversation: &ConversationId| format!("clara.inbound.{conversation}");
        assert!(is_of(&letter(format!("clara.journal.x.{turn}"), "", ""), &erased));
        assert!(is_of(&letter("clara.tools".into(), &format!("{turn}.0"), ""), &erased));
        assert!(is_of(&letter(of(&own), "m", "\u{1}remember that MY HINT is quokka"), &erased));
        assert!(!is_of(&letter(of(&own), "m", "My hint is another"), &erased));
        assert!(!is_of(&letter(of(&other), "m", "My hint is Quokka"), &erased), "it is another's");
        // One that holds nothing that could be looked for goes with all of its conversation.
        let short = Erased { turns: vec![(own.clone(), turn)], texts: vec!["Quokka".into()], ..Erased::default() };
        assert!(!is_of(&letter(of(&own), "m", "Quokka"), &short));
        let everything = Erased { conversations: vec![own.clone()], ..Erased::default() };
        assert!(is_of(&letter(of(&own), "m", "Quokka"), &everything));
        assert!(!is_of(&letter(of(&other), "m", "Quokka"), &everything));
    }
}
