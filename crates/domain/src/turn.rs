//! What a turn starts with, and what it ends with.

use std::sync::Arc;

use crate::approval::{ApprovalMode, Question};
use crate::carry::Origin;
use crate::chat::{ChatMessage, Usage};
use crate::ids::{ConversationId, MessageId, TurnId};
use crate::memory::{Fact, Passage, Reminder};
use crate::message::{Principal, Route, UserMessage};
use crate::policy::ToolRule;
use crate::tier::Tier;
use crate::tool::ToolSpec;

/// A turn as the router starts it: before anyone looked anything up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnRequest {
    pub turn: TurnId,
    pub conversation: ConversationId,
    pub route: Route,
    /// The messages that the one reply will answer, oldest first.
    pub messages: Vec<UserMessage>,
    /// The turn before this one: its exchange must be in the history.
    pub previous: Option<TurnId>,
    /// The tier of the discussion so far.
    pub discussion_tier: Option<Tier>,
    /// Raised by every reset: history of an older generation is not shown.
    pub generation: u32,
    /// The turn that this one goes on from, if it does.
    pub origin: Option<Origin>,
    /// The model to ask, when it is not the tier's.
    pub model: Option<String>,
    /// Which calls are asked for in this conversation.
    pub approval: ApprovalMode,
}

impl TurnRequest {
    /// Whose rights the turn acts with: those of its first speaker.
    pub fn principal(&self) -> Option<&Principal> {
        self.messages.first().map(|message| &message.speaker)
    }

    /// The conversation whose budget it uses.
    pub fn paid_by(&self) -> &ConversationId {
        self.route.paid_by(&self.conversation)
    }

    /// Which calls are asked for: a sub-agent's no less than its parent's.
    pub fn asks(&self) -> ApprovalMode {
        self.route.parent.as_ref().map_or(self.approval, |parent| self.approval.max(parent.approval))
    }

    /// Whether all that it answers was said by one person. When several share a turn,
    /// nobody's words may act with another's rights: what is one person's own is not
    /// offered in it.
    pub fn has_one_speaker(&self) -> bool {
        let of = |message: &UserMessage| (message.speaker.tenant.clone(), message.speaker.user.clone());
        let mut speakers = self.messages.iter().map(of);
        let first = speakers.next();
        speakers.all(|speaker| Some(speaker) == first)
    }

    pub fn answers(&self) -> Vec<MessageId> {
        self.messages.iter().map(|message| message.id.clone()).collect()
    }
}

/// A turn as the processor hands it on: everything the first model call needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnContext {
    pub request: TurnRequest,
    /// Shared, not copied, by whoever holds the turn.
    pub system: Arc<str>,
    /// History, then the messages to answer.
    pub messages: Vec<ChatMessage>,
    /// What the model is offered from the start.
    pub tools: Arc<[ToolSpec]>,
    /// What it is offered when it has found it (`tool_search`).
    pub later: Arc<[ToolSpec]>,
    /// What of it the turn that this one goes on from had found, by name, oldest first.
    pub found: Vec<String>,
    pub tier: Tier,
    /// The memories that stand in the system prompt.
    pub recalled: Vec<Fact>,
    /// What was said in earlier conversations and stands there too.
    pub passages: Vec<Passage>,
    /// What the person is reminded of in this turn; it stands there too.
    pub reminders: Vec<Reminder>,
    /// What the person is told about this answer, such as "memory unavailable".
    pub notices: Vec<String>,
    /// Whether it holds text that somebody else wrote.
    pub is_tainted: bool,
    /// How many tokens what comes of its steps may have, beside all this.
    pub room: usize,
    /// What the policy says of tools now; only for a turn that goes on from another one, whose tools
    /// it is asked about.
    pub rules: Vec<ToolRule>,
    /// The tools that the turns which this one goes on from have run, which run once: whatever becomes
    /// of this one, that was done.
    pub done: Vec<String>,
}

impl TurnContext {
    /// A tool that the turn may use, offered or found.
    pub fn tool(&self, name: &str) -> Option<&ToolSpec> {
        self.tools.iter().chain(self.later.iter()).find(|tool| tool.name == name)
    }
}

/// How an accepted message ended. Each is visible to the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplyKind {
    Answered,
    /// Something failed for good; the text says what, and what to do.
    Failed,
    /// The person stopped the turn.
    Stopped,
    /// The person is asked about a call before the work goes on.
    Question,
    /// The message was not taken up, for instance because too many wait.
    Refused,
    /// Done without a model: a reset, or a stop with nothing to stop.
    Notice,
}

/// The one final reply to the messages it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The turn, or for replies without one, the turn that the first answered
    /// message would have begun.
    pub turn: TurnId,
    pub conversation: ConversationId,
    pub route: Route,
    pub answers: Vec<MessageId>,
    pub kind: ReplyKind,
    pub text: String,
    pub notices: Vec<String>,
    pub tier: Tier,
    pub usage: Usage,
    pub tool_calls: u32,
    /// What a question is about.
    pub asks: Option<Question>,
}

impl Reply {
    /// Whether the router waits for this reply's delivery before it goes on.
    pub fn ends_turn(&self) -> bool {
        match self.kind {
            ReplyKind::Answered | ReplyKind::Failed | ReplyKind::Stopped | ReplyKind::Question => true,
            ReplyKind::Refused | ReplyKind::Notice => false,
        }
    }
}
