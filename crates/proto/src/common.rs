//! Principals, routes, messages, tiers.

use domain::approval::{ApprovalMode, Question};
use domain::attachment::{Attachment, FileKind, Image};
use domain::carry::{Carry, Choice, Origin};
use domain::chat::{ChatMessage, ToolCall, Usage};
use domain::message::{Audience, Parent, Principal, Route, UserMessage};
use domain::queue::QueueMode;
use domain::tier::Tier;

use crate::fields::{self, all, raws, required, wire_enum};
use crate::{InvalidMessage, v1};

wire_enum!(Tier as Tier, "tier", { Low => Low, Mid => Mid, High => High });
wire_enum!(QueueMode as QueueMode, "queue mode", {
    Followup => Followup, Collect => Collect, Steer => Steer, Interrupt => Interrupt,
});
wire_enum!(Choice as Choice, "choice", {
    Retry => Retry, Worked => Worked, Skip => Skip, Approve => Approve, Deny => Deny,
});
wire_enum!(FileKind as FileKind, "file kind", {
    Text => Text, Png => Png, Jpeg => Jpeg, Gif => Gif, Webp => Webp, Other => Other,
});
wire_enum!(Audience as Audience, "audience", { Direct => Direct, Group => Group });

impl From<&Origin> for v1::Origin {
    fn from(value: &Origin) -> Self {
        use v1::origin::Carry as Raw;
        Self {
            conversation: value.conversation.to_string(),
            turn: value.turn.to_string(),
            carry: Some(match &value.carry {
                Carry::Answered(choice) => Raw::Answered(v1::Choice::from(choice).into()),
                Carry::Fork { at } => Raw::ForkAt(*at),
            }),
        }
    }
}

impl TryFrom<v1::Origin> for Origin {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Origin) -> Result<Self, InvalidMessage> {
        use v1::origin::Carry as Raw;
        Ok(Self {
            conversation: fields::conversation(&raw.conversation)?,
            turn: fields::turn(&raw.turn)?,
            carry: match required(raw.carry, "origin.carry")? {
                Raw::Answered(choice) => {
                    Carry::Answered(v1::Choice::try_from(choice).unwrap_or(v1::Choice::Unspecified).try_into()?)
                }
                Raw::ForkAt(at) => Carry::Fork { at },
            },
        })
    }
}

/// Which calls are asked for; an older build says nothing.
pub(crate) fn approval(raw: v1::ApprovalMode) -> ApprovalMode {
    optional_approval(raw).unwrap_or_default()
}

pub(crate) fn optional_approval(raw: v1::ApprovalMode) -> Option<ApprovalMode> {
    match raw {
        v1::ApprovalMode::Unspecified => None,
        v1::ApprovalMode::Auto => Some(ApprovalMode::Auto),
        v1::ApprovalMode::Chat => Some(ApprovalMode::Chat),
    }
}

pub(crate) fn approval_number(mode: ApprovalMode) -> i32 {
    match mode {
        ApprovalMode::Auto => v1::ApprovalMode::Auto,
        ApprovalMode::Chat => v1::ApprovalMode::Chat,
    }
    .into()
}

/// What a question is about; older builds asked about outcomes alone.
pub(crate) fn question(raw: v1::Question) -> Question {
    match raw {
        v1::Question::Unspecified | v1::Question::Outcome => Question::Outcome,
        v1::Question::Approval => Question::Approval,
    }
}

pub(crate) fn question_raw(question: Question) -> v1::Question {
    match question {
        Question::Outcome => v1::Question::Outcome,
        Question::Approval => v1::Question::Approval,
    }
}

/// A tier that need not be given.
pub(crate) fn optional_tier(raw: v1::Tier) -> Option<Tier> {
    Tier::try_from(raw).ok()
}

pub(crate) fn optional_tier_number(tier: Option<Tier>) -> i32 {
    tier.map_or(v1::Tier::Unspecified, |tier| v1::Tier::from(&tier)).into()
}

pub(crate) fn tier_number(tier: Tier) -> i32 {
    v1::Tier::from(&tier).into()
}

impl From<&Principal> for v1::Principal {
    fn from(value: &Principal) -> Self {
        Self { user: value.user.clone(), name: value.name.clone(), tenant: value.tenant.clone() }
    }
}

impl TryFrom<v1::Principal> for Principal {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Principal) -> Result<Self, InvalidMessage> {
        if raw.user.is_empty() {
            return Err(InvalidMessage::Missing("principal.user"));
        }
        Ok(Self { user: raw.user, name: raw.name, tenant: raw.tenant })
    }
}

impl From<&Route> for v1::Route {
    fn from(value: &Route) -> Self {
        Self {
            platform: value.platform.clone(),
            channel: value.channel.clone(),
            audience: v1::Audience::from(&value.audience).into(),
            parent: value.parent.as_ref().map(Into::into),
        }
    }
}

impl From<&Parent> for v1::Parent {
    fn from(value: &Parent) -> Self {
        Self {
            conversation: value.conversation.to_string(),
            platform: value.platform.clone(),
            channel: value.channel.clone(),
            audience: v1::Audience::from(&value.audience).into(),
            approval: approval_number(value.approval),
        }
    }
}

impl TryFrom<v1::Parent> for Parent {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Parent) -> Result<Self, InvalidMessage> {
        Ok(Self {
            conversation: fields::conversation(&raw.conversation)?,
            audience: raw.audience().try_into()?,
            approval: approval(raw.approval()),
            platform: raw.platform,
            channel: raw.channel,
        })
    }
}

impl TryFrom<v1::Route> for Route {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Route) -> Result<Self, InvalidMessage> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if raw.platform.is_empty() || !raw.platform.chars().all(plain) {
            return Err(InvalidMessage::Missing("route.platform"));
        }
        Ok(Self {
            audience: raw.audience().try_into()?,
            platform: raw.platform,
            channel: raw.channel,
            parent: raw.parent.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&UserMessage> for v1::UserMessage {
    fn from(value: &UserMessage) -> Self {
        Self {
            id: value.id.to_string(),
            speaker: Some((&value.speaker).into()),
            text: value.text.clone(),
            attachments: raws(&value.attachments),
            tier: optional_tier_number(value.tier),
            sent_at_ms: value.sent_at_ms,
        }
    }
}

impl TryFrom<v1::UserMessage> for UserMessage {
    type Error = InvalidMessage;
    fn try_from(raw: v1::UserMessage) -> Result<Self, InvalidMessage> {
        Ok(Self {
            id: fields::message(&raw.id)?,
            tier: optional_tier(raw.tier()),
            speaker: required(raw.speaker, "speaker")?.try_into()?,
            text: raw.text,
            attachments: all(raw.attachments)?,
            sent_at_ms: raw.sent_at_ms,
        })
    }
}

impl From<&Attachment> for v1::Attachment {
    fn from(value: &Attachment) -> Self {
        Self {
            file: value.file.to_string(),
            name: value.name.clone(),
            kind: v1::FileKind::from(&value.kind).into(),
            bytes: value.bytes,
        }
    }
}

impl TryFrom<v1::Attachment> for Attachment {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Attachment) -> Result<Self, InvalidMessage> {
        Ok(Self { file: fields::file(&raw.file)?, kind: raw.kind().try_into()?, name: raw.name, bytes: raw.bytes })
    }
}

impl From<&Image> for v1::Image {
    fn from(value: &Image) -> Self {
        Self {
            conversation: value.conversation.to_string(),
            file: value.file.to_string(),
            kind: v1::FileKind::from(&value.kind).into(),
        }
    }
}

impl TryFrom<v1::Image> for Image {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Image) -> Result<Self, InvalidMessage> {
        Ok(Self {
            conversation: fields::conversation(&raw.conversation)?,
            file: fields::file(&raw.file)?,
            kind: raw.kind().try_into()?,
        })
    }
}

impl From<&Usage> for v1::Usage {
    fn from(value: &Usage) -> Self {
        Self {
            input_tokens: value.input_tokens,
            output_tokens: value.output_tokens,
            cached_tokens: value.cached_tokens,
        }
    }
}

impl From<v1::Usage> for Usage {
    fn from(raw: v1::Usage) -> Self {
        Self { input_tokens: raw.input_tokens, output_tokens: raw.output_tokens, cached_tokens: raw.cached_tokens }
    }
}

impl From<&ToolCall> for v1::ToolCall {
    fn from(value: &ToolCall) -> Self {
        Self { vendor_id: value.vendor_id.clone(), name: value.name.clone(), arguments: value.arguments.clone() }
    }
}

impl From<v1::ToolCall> for ToolCall {
    fn from(raw: v1::ToolCall) -> Self {
        Self { vendor_id: raw.vendor_id, name: raw.name, arguments: raw.arguments }
    }
}

impl From<&ChatMessage> for v1::ChatMessage {
    fn from(value: &ChatMessage) -> Self {
        use v1::chat_message::{Assistant, Kind, ToolResult, User};
        let kind = match value {
            ChatMessage::User { text, images } => Kind::User(User { text: text.clone(), images: raws(images) }),
            ChatMessage::Assistant { text, calls, signatures } => {
                Kind::Assistant(Assistant { text: text.clone(), calls: raws(calls), signatures: signatures.clone() })
            }
            ChatMessage::ToolResult { vendor_id, text } => {
                Kind::ToolResult(ToolResult { vendor_id: vendor_id.clone(), text: text.clone() })
            }
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::ChatMessage> for ChatMessage {
    type Error = InvalidMessage;
    fn try_from(raw: v1::ChatMessage) -> Result<Self, InvalidMessage> {
        use v1::chat_message::Kind;
        Ok(match required(raw.kind, "chat_message.kind")? {
            Kind::User(user) => Self::User { text: user.text, images: all(user.images)? },
            Kind::Assistant(assistant) => Self::Assistant {
                text: assistant.text,
                calls: assistant.calls.into_iter().map(Into::into).collect(),
                signatures: assistant.signatures,
            },
            Kind::ToolResult(result) => Self::ToolResult { vendor_id: result.vendor_id, text: result.text },
        })
    }
}
