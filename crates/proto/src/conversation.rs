//! The router's record of a conversation.

use domain::conversation::{Active, Conversation, Effect, Position};

use crate::common::{optional_tier, optional_tier_number};
use crate::fields::{self, all, raws, required, texts};
use crate::{InvalidMessage, v1, wire};

wire!(Conversation as v1::Conversation);

impl From<&Conversation> for v1::Conversation {
    fn from(value: &Conversation) -> Self {
        Self {
            applied_incarnation: value.applied.incarnation,
            applied_sequence: value.applied.sequence,
            seen: value.seen.iter().map(ToString::to_string).collect(),
            active: value
                .active
                .as_ref()
                .map(|active| v1::conversation::Active { turn: active.turn.to_string(), owes: texts(&active.owes) }),
            waiting: raws(&value.waiting),
            previous_turn: fields::optional_turn_text(value.previous),
            tier: optional_tier_number(value.tier),
            generation: value.generation,
            outbox: raws(&value.outbox),
            route: value.route.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::Conversation> for Conversation {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Conversation) -> Result<Self, InvalidMessage> {
        let active = raw.active.as_ref().map(|active| {
            Ok::<_, InvalidMessage>(Active { turn: fields::turn(&active.turn)?, owes: fields::messages(&active.owes)? })
        });
        Ok(Self {
            applied: Position { incarnation: raw.applied_incarnation, sequence: raw.applied_sequence },
            seen: fields::messages(&raw.seen)?.into(),
            active: active.transpose()?,
            previous: fields::optional_turn(&raw.previous_turn)?,
            tier: optional_tier(raw.tier()),
            generation: raw.generation,
            waiting: all::<_, domain::message::UserMessage>(raw.waiting)?.into(),
            outbox: all(raw.outbox)?,
            route: raw.route.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&Effect> for v1::conversation::Effect {
    fn from(value: &Effect) -> Self {
        use v1::conversation::{StopTurn, effect::Kind};
        let kind = match value {
            Effect::StartTurn(request) => Kind::StartTurn(request.into()),
            Effect::StopTurn { turn, stop } => {
                Kind::StopTurn(StopTurn { turn: turn.to_string(), stop: stop.to_string() })
            }
            Effect::Reply(reply) => Kind::Reply(reply.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::conversation::Effect> for Effect {
    type Error = InvalidMessage;
    fn try_from(raw: v1::conversation::Effect) -> Result<Self, InvalidMessage> {
        use v1::conversation::effect::Kind;
        Ok(match required(raw.kind, "effect.kind")? {
            Kind::StartTurn(request) => Self::StartTurn(request.try_into()?),
            Kind::StopTurn(stop) => {
                Self::StopTurn { turn: fields::turn(&stop.turn)?, stop: fields::message(&stop.stop)? }
            }
            Kind::Reply(reply) => Self::Reply(reply.try_into()?),
        })
    }
}
