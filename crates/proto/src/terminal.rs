//! Between terminals and adapter-cli.

use domain::approval::ApprovalMode;
use domain::attachment::Attachment;
use domain::carry::{Choice, Origin};
use domain::ids::{ConversationId, Place, TurnId};
use domain::message::{Parent, Principal};
use domain::queue::QueueMode;

use crate::common::{approval, approval_number};
use crate::fields::{self, all, raws, required};
use crate::{InvalidMessage, v1, wire};

/// The platform of terminals.
pub const PLATFORM: &str = "cli";

/// Where a person's conversation of this name takes place. Terminals and the
/// adapter derive it alike, so that a terminal can watch before it speaks.
pub fn place(speaker: &Principal, channel: &str) -> Place {
    Place {
        platform: PLATFORM.into(),
        tenant: speaker.tenant.clone(),
        channel: format!("{}/{channel}", speaker.user),
        thread: String::new(),
    }
}

/// What a person does in a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Say {
    /// Chosen by the terminal: the same id twice is one message.
    pub id: String,
    pub channel: String,
    pub speaker: Principal,
    /// Of a sub-agent's conversation: what it was begun for.
    pub parent: Option<Parent>,
    pub what: Saying,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saying {
    Text {
        text: String,
        /// Files whose bytes are stored already.
        attachments: Vec<Attachment>,
    },
    Stop,
    Reset,
    Mode(QueueMode),
    /// Which calls are asked for from now on.
    Approval(ApprovalMode),
    /// The answer to a question that was asked in any conversation.
    Answer {
        conversation: ConversationId,
        turn: TurnId,
        choice: Choice,
    },
    /// A turn that goes on from one step of another, in this conversation.
    Fork {
        origin: Origin,
        model: Option<String>,
    },
}

impl Saying {
    /// A text without files.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), attachments: Vec::new() }
    }
}

/// Answered only after the bus has stored the message, or refused to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Accepted { conversation: ConversationId },
    Refused { because: String },
}

wire!(Say as v1::Say);
wire!(Said as v1::Said);

impl From<&Say> for v1::Say {
    fn from(value: &Say) -> Self {
        use v1::say::{Answer, Fork, Reset, Stop, What};
        let what = match &value.what {
            Saying::Text { text, .. } => What::Text(text.clone()),
            Saying::Stop => What::Stop(Stop {}),
            Saying::Reset => What::Reset(Reset {}),
            Saying::Mode(mode) => What::Mode(v1::QueueMode::from(mode).into()),
            Saying::Approval(mode) => What::Approval(approval_number(*mode)),
            Saying::Answer { conversation, turn, choice } => What::Answer(Answer {
                conversation: conversation.to_string(),
                turn: turn.to_string(),
                choice: v1::Choice::from(choice).into(),
            }),
            Saying::Fork { origin, model } => {
                What::Fork(Fork { origin: Some(origin.into()), model: model.clone().unwrap_or_default() })
            }
        };
        let attachments = match &value.what {
            Saying::Text { attachments, .. } => raws(attachments),
            _ => Vec::new(),
        };
        Self {
            id: value.id.clone(),
            channel: value.channel.clone(),
            speaker: Some((&value.speaker).into()),
            what: Some(what),
            attachments,
            parent: value.parent.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::Say> for Say {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Say) -> Result<Self, InvalidMessage> {
        use v1::say::{Reset, Stop, What};
        let what = match required(raw.what, "what")? {
            What::Text(text) => Saying::Text { text, attachments: all(raw.attachments)? },
            What::Stop(Stop {}) => Saying::Stop,
            What::Reset(Reset {}) => Saying::Reset,
            What::Mode(mode) => {
                Saying::Mode(v1::QueueMode::try_from(mode).unwrap_or(v1::QueueMode::Unspecified).try_into()?)
            }
            What::Approval(mode) => {
                Saying::Approval(approval(v1::ApprovalMode::try_from(mode).unwrap_or(v1::ApprovalMode::Unspecified)))
            }
            What::Answer(answer) => Saying::Answer {
                choice: answer.choice().try_into()?,
                conversation: fields::conversation(&answer.conversation)?,
                turn: fields::turn(&answer.turn)?,
            },
            What::Fork(fork) => Saying::Fork {
                origin: required(fork.origin, "origin")?.try_into()?,
                model: fields::optional_text(fork.model),
            },
        };
        Ok(Self {
            id: raw.id,
            channel: raw.channel,
            speaker: required(raw.speaker, "speaker")?.try_into()?,
            parent: raw.parent.map(TryInto::try_into).transpose()?,
            what,
        })
    }
}

impl From<&Said> for v1::Said {
    fn from(value: &Said) -> Self {
        use v1::said::Result as Raw;
        let result = match value {
            Said::Accepted { conversation } => Raw::AcceptedConversation(conversation.to_string()),
            Said::Refused { because } => Raw::RefusedBecause(because.clone()),
        };
        Self { result: Some(result) }
    }
}

impl TryFrom<v1::Said> for Said {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Said) -> Result<Self, InvalidMessage> {
        use v1::said::Result as Raw;
        Ok(match required(raw.result, "result")? {
            Raw::AcceptedConversation(id) => Self::Accepted { conversation: fields::conversation(&id)? },
            Raw::RefusedBecause(because) => Self::Refused { because },
        })
    }
}
