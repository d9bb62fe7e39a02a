//! Turn requests, turn contexts, replies, deliveries.

use domain::delivery::DeliveryRecord;
use domain::policy::{Ruling, ToolRule};
use domain::turn::{Reply, ReplyKind, TurnContext, TurnRequest};

use crate::common::{
    approval, approval_number, optional_tier, optional_tier_number, question, question_raw, tier_number,
};
use crate::fields::{self, all, raws, required, texts, wire_enum};
use crate::{InvalidMessage, v1, wire};

wire!(TurnRequest as v1::PrepareTurn);
wire!(TurnContext as v1::RunTurn);
wire!(Reply as v1::SendReply);
wire!(DeliveryRecord as v1::DeliveryRecord);

wire_enum!(ReplyKind as ReplyKind, "reply.kind", {
    Answered => Answered, Failed => Failed, Stopped => Stopped, Refused => Refused, Notice => Notice,
    Question => Question,
});

impl From<&TurnRequest> for v1::PrepareTurn {
    fn from(value: &TurnRequest) -> Self {
        Self {
            turn: value.turn.to_string(),
            conversation: value.conversation.to_string(),
            route: Some((&value.route).into()),
            messages: raws(&value.messages),
            previous_turn: fields::optional_turn_text(value.previous),
            discussion_tier: optional_tier_number(value.discussion_tier),
            generation: value.generation,
            origin: value.origin.as_ref().map(Into::into),
            model: value.model.clone().unwrap_or_default(),
            approval: approval_number(value.approval),
        }
    }
}

impl TryFrom<v1::PrepareTurn> for TurnRequest {
    type Error = InvalidMessage;
    fn try_from(raw: v1::PrepareTurn) -> Result<Self, InvalidMessage> {
        Ok(Self {
            approval: approval(raw.approval()),
            turn: fields::turn(&raw.turn)?,
            conversation: fields::conversation(&raw.conversation)?,
            previous: fields::optional_turn(&raw.previous_turn)?,
            discussion_tier: optional_tier(raw.discussion_tier()),
            generation: raw.generation,
            origin: raw.origin.map(TryInto::try_into).transpose()?,
            model: fields::optional_text(raw.model),
            route: required(raw.route, "route")?.try_into()?,
            messages: all(raw.messages)?,
        })
    }
}

impl From<&TurnContext> for v1::RunTurn {
    fn from(value: &TurnContext) -> Self {
        Self {
            request: Some((&value.request).into()),
            system: value.system.to_string(),
            messages: raws(&value.messages),
            tools: raws(value.tools.iter()),
            later_tools: raws(value.later.iter()),
            found_tools: value.found.clone(),
            tier: tier_number(value.tier),
            notices: value.notices.clone(),
            recalled: raws(&value.recalled),
            passages: raws(&value.passages),
            reminders: raws(&value.reminders),
            tainted: value.is_tainted,
            rules: value.rules.iter().map(rule_raw).collect(),
            done: value.done.clone(),
            room: u64::try_from(value.room).ok().filter(|_| value.room < usize::MAX).unwrap_or(0),
        }
    }
}

impl TryFrom<v1::RunTurn> for TurnContext {
    type Error = InvalidMessage;
    fn try_from(raw: v1::RunTurn) -> Result<Self, InvalidMessage> {
        Ok(Self {
            tier: raw.tier().try_into()?,
            request: required(raw.request, "request")?.try_into()?,
            system: raw.system.into(),
            messages: all(raw.messages)?,
            tools: all::<_, domain::tool::ToolSpec>(raw.tools)?.into(),
            later: all::<_, domain::tool::ToolSpec>(raw.later_tools)?.into(),
            found: raw.found_tools,
            notices: raw.notices,
            recalled: raw.recalled.into_iter().map(Into::into).collect(),
            passages: raw.passages.into_iter().map(Into::into).collect(),
            reminders: raw.reminders.into_iter().map(Into::into).collect(),
            is_tainted: raw.tainted,
            rules: raw.rules.into_iter().map(rule).collect(),
            done: raw.done,
            // An older build named none.
            room: if raw.room == 0 { usize::MAX } else { usize::try_from(raw.room).unwrap_or(usize::MAX) },
        })
    }
}

fn rule_raw(rule: &ToolRule) -> v1::ToolRule {
    let ruling = match rule.ruling {
        Ruling::Allow => v1::Ruling::Allow,
        Ruling::Ask => v1::Ruling::Ask,
        Ruling::Deny => v1::Ruling::Deny,
    };
    v1::ToolRule { ruling: ruling.into(), tools: rule.tools.clone() }
}

fn rule(raw: v1::ToolRule) -> ToolRule {
    let ruling = match raw.ruling() {
        v1::Ruling::Allow => Ruling::Allow,
        v1::Ruling::Deny => Ruling::Deny,
        v1::Ruling::Ask | v1::Ruling::Unspecified => Ruling::Ask,
    };
    ToolRule { ruling, tools: raw.tools }
}

impl From<&Reply> for v1::SendReply {
    fn from(value: &Reply) -> Self {
        Self {
            turn: value.turn.to_string(),
            conversation: value.conversation.to_string(),
            route: Some((&value.route).into()),
            answers: texts(&value.answers),
            kind: v1::ReplyKind::from(&value.kind).into(),
            text: value.text.clone(),
            notices: value.notices.clone(),
            tier: tier_number(value.tier),
            usage: Some((&value.usage).into()),
            tool_calls: value.tool_calls,
            asks: value.asks.map_or(v1::Question::Unspecified, question_raw).into(),
        }
    }
}

impl TryFrom<v1::SendReply> for Reply {
    type Error = InvalidMessage;
    fn try_from(raw: v1::SendReply) -> Result<Self, InvalidMessage> {
        Ok(Self {
            turn: fields::turn(&raw.turn)?,
            conversation: fields::conversation(&raw.conversation)?,
            kind: raw.kind().try_into()?,
            asks: match raw.asks() {
                v1::Question::Unspecified => None,
                asks => Some(question(asks)),
            },
            tier: raw.tier().try_into()?,
            route: required(raw.route, "route")?.try_into()?,
            answers: fields::messages(&raw.answers)?,
            text: raw.text,
            notices: raw.notices,
            usage: raw.usage.map(Into::into).unwrap_or_default(),
            tool_calls: raw.tool_calls,
        })
    }
}

impl From<&DeliveryRecord> for v1::DeliveryRecord {
    fn from(value: &DeliveryRecord) -> Self {
        use v1::delivery_record::{Sending, Sent, State};
        let state = match value {
            DeliveryRecord::Sending { replica } => State::Sending(Sending { replica: replica.clone() }),
            DeliveryRecord::Sent { platform_message } => {
                State::Sent(Sent { platform_message: platform_message.clone() })
            }
        };
        Self { state: Some(state) }
    }
}

impl TryFrom<v1::DeliveryRecord> for DeliveryRecord {
    type Error = InvalidMessage;
    fn try_from(raw: v1::DeliveryRecord) -> Result<Self, InvalidMessage> {
        use v1::delivery_record::State;
        Ok(match required(raw.state, "delivery.state")? {
            State::Sending(sending) => Self::Sending { replica: sending.replica },
            State::Sent(sent) => Self::Sent { platform_message: sent.platform_message },
        })
    }
}
