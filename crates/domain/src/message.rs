//! What people send: messages, stops, resets; who they are and where they wait.

use crate::approval::{ApprovalMode, Question};
use crate::attachment::Attachment;
use crate::carry::{Choice, Origin};
use crate::ids::{ConversationId, MessageId, TurnId};
use crate::queue::QueueMode;
use crate::tier::Tier;

/// Longest text of one message, in bytes. Longer input is refused with a word
/// to the person before it reaches the bus.
pub const TEXT_BYTES: usize = 64 * 1024;

/// Whose rights a turn acts with. Travels with every message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// Stable id of ours for the person, such as `cli-user` or `discord-123`.
    pub user: String,
    /// What the person is called in the conversation.
    pub name: String,
    pub tenant: String,
}

/// Direct conversations see private memories; groups see public ones only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    Direct,
    Group,
}

/// Before the id of a sub-agent, as the channel of its conversation: what is said there is
/// said by a model, and by no person.
pub const SUBAGENT: &str = "subagent-";

/// Where replies of a conversation go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    pub platform: String,
    /// The platform's own name of the channel, for its adapter alone.
    pub channel: String,
    pub audience: Audience,
    /// Of a sub-agent's conversation: what its work is done for.
    pub parent: Option<Parent>,
}

/// A conversation that had a sub-agent begun. What holds there holds for the sub-agent too: who
/// hears what it finds, what is allowed, and whose budget it uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Parent {
    pub conversation: ConversationId,
    pub platform: String,
    pub channel: String,
    pub audience: Audience,
    /// As it was when the sub-agent was begun.
    pub approval: ApprovalMode,
}

impl Route {
    /// Whether a sub-agent works there.
    pub fn is_subagent(&self) -> bool {
        self.parent.is_some() || self.channel.starts_with(SUBAGENT)
    }

    /// Who hears what is found there, in the end.
    pub fn heard_by(&self) -> Audience {
        self.parent.as_ref().map_or(self.audience, |parent| parent.audience)
    }

    /// The conversation whose budget is used, where `own` is the one that it leads to.
    pub fn paid_by<'a>(&'a self, own: &'a ConversationId) -> &'a ConversationId {
        self.parent.as_ref().map_or(own, |parent| &parent.conversation)
    }

    /// The platform and the channel whose rules hold.
    pub fn ruled_by(&self) -> (&str, &str) {
        self.parent.as_ref().map_or((&self.platform, &self.channel), |parent| (&parent.platform, &parent.channel))
    }
}

/// One message of a person, accepted by an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserMessage {
    pub id: MessageId,
    pub speaker: Principal,
    /// Empty when files came alone.
    pub text: String,
    /// In the order in which the person gave them.
    pub attachments: Vec<Attachment>,
    pub tier: Option<Tier>,
    /// When the adapter accepted it, in milliseconds since the Unix epoch.
    pub sent_at_ms: i64,
}

impl UserMessage {
    /// What it weighs in a record, in bytes, about.
    pub fn weight(&self) -> usize {
        let named = |attachment: &Attachment| attachment.name.len() + attachment.file.as_str().len() + 16;
        self.text.len() + self.attachments.iter().map(named).sum::<usize>()
    }
}

/// Everything that moves a conversation, in the order of its partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    MessageReceived(UserMessage),
    StopRequested {
        id: MessageId,
        by: Principal,
    },
    ConversationReset {
        id: MessageId,
        by: Principal,
    },
    /// How the conversation queues from now on.
    QueueModeChosen {
        id: MessageId,
        by: Principal,
        mode: QueueMode,
    },
    /// Which calls are asked for from now on.
    ApprovalModeChosen {
        id: MessageId,
        by: Principal,
        mode: ApprovalMode,
    },
    /// The answer to the question that a turn ended with, from anywhere.
    QuestionAnswered {
        id: MessageId,
        by: Principal,
        turn: TurnId,
        choice: Choice,
        at_ms: i64,
    },
    /// A turn that goes on from one step of another, elsewhere.
    TurnForked {
        id: MessageId,
        by: Principal,
        origin: Origin,
        model: Option<String>,
    },
    /// Nothing was said in a group for a while after this message.
    DebounceElapsed {
        last: MessageId,
    },
    /// The turn ends with a question, which the person is about to see: whatever
    /// comes before this in the conversation is no answer to it.
    QuestionAsked {
        turn: TurnId,
        question: Question,
        /// The question as the person sees it.
        text: String,
        at_ms: i64,
    },
    TurnFinished(TurnFinished),
    /// A message of the turn was put aside: nobody will finish it.
    TurnLost {
        turn: TurnId,
    },
}

impl Event {
    /// The id that a repeated delivery by the platform would carry again.
    pub fn message_id(&self) -> Option<&MessageId> {
        match self {
            Event::MessageReceived(message) => Some(&message.id),
            Event::StopRequested { id, .. }
            | Event::ConversationReset { id, .. }
            | Event::QueueModeChosen { id, .. }
            | Event::ApprovalModeChosen { id, .. }
            | Event::QuestionAnswered { id, .. }
            | Event::TurnForked { id, .. } => Some(id),
            Event::QuestionAsked { .. }
            | Event::TurnFinished(_)
            | Event::TurnLost { .. }
            | Event::DebounceElapsed { .. } => None,
        }
    }
}

/// The adapter's word that a turn's reply has been delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnFinished {
    pub turn: TurnId,
    /// The messages that the delivered reply named.
    pub answers: Vec<MessageId>,
    pub tier: Tier,
}

/// An event with its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    pub conversation: ConversationId,
    /// Where replies go. Whoever does not know it leaves it out.
    pub route: Option<Route>,
    pub event: Event,
}

impl Inbound {
    /// The `Nats-Msg-Id` under which this event is published.
    pub fn publish_id(&self) -> String {
        match &self.event {
            // Another conversation's platform may give the same id.
            Event::MessageReceived(UserMessage { id, .. })
            | Event::StopRequested { id, .. }
            | Event::ConversationReset { id, .. }
            | Event::QueueModeChosen { id, .. }
            | Event::ApprovalModeChosen { id, .. }
            | Event::QuestionAnswered { id, .. }
            | Event::TurnForked { id, .. } => format!("{}:{id}", self.conversation),
            Event::DebounceElapsed { last } => format!("{}:{last}:debounced", self.conversation),
            Event::QuestionAsked { turn, .. } => format!("{turn}:asked"),
            Event::TurnFinished(finished) => format!("{}:finished", finished.turn),
            Event::TurnLost { turn } => format!("{turn}:lost"),
        }
    }
}

/// Why a text cannot become a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    #[error("the message is empty")]
    Empty,
    #[error("the message has {bytes} bytes; the limit is {TEXT_BYTES}. Put it into a file, or send it in parts")]
    TooLong { bytes: usize },
}

/// A text without the control characters that a terminal would obey; line ends
/// and tabs stay.
pub fn without_controls(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Makes a text fit to be a message: control characters other than line ends
/// and tabs are taken out (a terminal would obey them), the rest is kept.
pub fn clean_text(raw: &str) -> Result<String, InvalidText> {
    if raw.len() > TEXT_BYTES {
        return Err(InvalidText::TooLong { bytes: raw.len() });
    }
    let text = without_controls(raw);
    if text.trim().is_empty() {
        return Err(InvalidText::Empty);
    }
    Ok(text)
}

/// Whether a message is a request to stop rather than something to answer.
pub fn is_stop_phrase(text: &str, phrases: &[String]) -> bool {
    let plain = text.trim().trim_end_matches(['.', '!']).to_lowercase();
    let words: Vec<&str> = plain.split_whitespace().collect();
    phrases.iter().any(|phrase| phrase.to_lowercase().split_whitespace().eq(words.iter().copied()))
}

/// The phrases that stop a turn when nothing else is configured.
pub const STOP_PHRASES: &str = "clara stop,stop clara,nevermind,never mind";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_go_and_the_text_stays() {
        assert_eq!(clean_text("a\u{1b}[31mb\tc\nd\0"), Ok("a[31mb\tc\nd".into()));
        assert_eq!(clean_text("  \u{7}\n"), Err(InvalidText::Empty));
        assert_eq!(clean_text(&"x".repeat(1 << 20)), Err(InvalidText::TooLong { bytes: 1 << 20 }));
        assert_eq!(clean_text(&"x".repeat(TEXT_BYTES)).map(|text| text.len()), Ok(TEXT_BYTES));
    }

    #[test]
    fn stop_phrases_are_whole_messages() {
        let phrases: Vec<String> = STOP_PHRASES.split(',').map(str::to_owned).collect();
        for text in ["clara stop", "Stop  Clara!", " nevermind ", "Never mind."] {
            assert!(is_stop_phrase(text, &phrases), "{text}");
        }
        for text in ["stop", "clara stop the music please", "never mind the gap"] {
            assert!(!is_stop_phrase(text, &phrases), "{text}");
        }
    }
}
