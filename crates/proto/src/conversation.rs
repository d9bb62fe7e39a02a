//! The router's record of a conversation.

use domain::conversation::{Active, Asked, Conversation, Effect, Ending, Position};

use domain::message::Principal;

use crate::common::{approval_number, optional_approval, optional_tier, optional_tier_number, question, question_raw};
use crate::fields::{self, all, raws, required, texts};
use crate::v1::conversation::Ending as RawEnding;
use crate::{InvalidMessage, v1, wire};

wire!(Conversation as v1::Conversation);

impl From<&Conversation> for v1::Conversation {
    fn from(value: &Conversation) -> Self {
        Self {
            applied_incarnation: value.applied.incarnation,
            applied_sequence: value.applied.sequence,
            seen: value.seen.iter().map(ToString::to_string).collect(),
            active: value.active.as_ref().map(|active| v1::conversation::Active {
                turn: active.turn.to_string(),
                owes: texts(&active.owes),
                speaker: active.speaker.user.clone(),
                principal: Some((&active.speaker).into()),
                steered: raws(&active.steered),
                ending: match active.ending {
                    None => RawEnding::Unspecified,
                    Some(Ending::Stopped) => RawEnding::Stopped,
                    Some(Ending::Interrupted) => RawEnding::Interrupted,
                }
                .into(),
            }),
            mode: value.mode.map_or(v1::QueueMode::Unspecified, |mode| v1::QueueMode::from(&mode)).into(),
            asked_turn: fields::optional_turn_text(value.asked.as_ref().map(|asked| asked.turn)),
            asked_of: value.asked.as_ref().map(|asked| asked.of.user.clone()).unwrap_or_default(),
            asked: value.asked.as_ref().map(|asked| v1::conversation::Asked {
                of: Some((&asked.of).into()),
                question: question_raw(asked.question).into(),
                text: asked.text.clone(),
                at_ms: asked.at_ms,
            }),
            approval: value.approval.map_or(v1::ApprovalMode::Unspecified.into(), approval_number),
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
        let mode = v1::QueueMode::try_from(raw.mode).ok().and_then(|mode| mode.try_into().ok());
        let active = raw.active.map(|active| {
            Ok::<_, InvalidMessage>(Active {
                turn: fields::turn(&active.turn)?,
                owes: fields::messages(&active.owes)?,
                ending: match active.ending() {
                    RawEnding::Unspecified => None,
                    RawEnding::Stopped => Some(Ending::Stopped),
                    RawEnding::Interrupted => Some(Ending::Interrupted),
                },
                speaker: match active.principal {
                    Some(principal) => principal.try_into()?,
                    None => known_by(active.speaker),
                },
                steered: all(active.steered)?,
            })
        });
        Ok(Self {
            applied: Position { incarnation: raw.applied_incarnation, sequence: raw.applied_sequence },
            seen: fields::messages(&raw.seen)?.into(),
            active: active.transpose()?,
            mode,
            asked: fields::optional_turn(&raw.asked_turn)?
                .map(|turn| asked(turn, raw.asked_of, raw.asked.unwrap_or_default()))
                .transpose()?,
            approval: v1::ApprovalMode::try_from(raw.approval).ok().and_then(optional_approval),
            previous: fields::optional_turn(&raw.previous_turn)?,
            tier: v1::Tier::try_from(raw.tier).map_or(None, optional_tier),
            generation: raw.generation,
            waiting: all::<_, domain::message::UserMessage>(raw.waiting)?.into(),
            outbox: all(raw.outbox)?,
            route: raw.route.map(TryInto::try_into).transpose()?,
        })
    }
}

/// A person of whom an older build wrote the id alone.
fn known_by(user: String) -> Principal {
    Principal { name: user.clone(), user, tenant: String::new() }
}

fn asked(turn: domain::ids::TurnId, of: String, raw: v1::conversation::Asked) -> Result<Asked, InvalidMessage> {
    let question = question(raw.question());
    let of = match raw.of {
        Some(principal) => principal.try_into()?,
        None => known_by(of),
    };
    Ok(Asked { turn, of, question, text: raw.text, at_ms: raw.at_ms })
}

impl From<&Effect> for v1::conversation::Effect {
    fn from(value: &Effect) -> Self {
        use v1::conversation::{Interrupt, Steer, StopTurn, Wake, effect::Kind};
        let kind = match value {
            Effect::StartTurn(request) => Kind::StartTurn(request.into()),
            Effect::StopTurn { turn, stop } => {
                Kind::StopTurn(StopTurn { turn: turn.to_string(), stop: stop.to_string() })
            }
            Effect::Steer { turn, message } => {
                Kind::Steer(Steer { turn: turn.to_string(), message: Some(message.as_ref().into()) })
            }
            Effect::Interrupt { turn, by } => Kind::Interrupt(Interrupt { turn: turn.to_string(), by: by.to_string() }),
            Effect::Wake { after_ms, last } => Kind::Wake(Wake { after_ms: *after_ms, last: last.to_string() }),
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
            Kind::Steer(steer) => Self::Steer {
                turn: fields::turn(&steer.turn)?,
                message: Box::new(required(steer.message, "steer.message")?.try_into()?),
            },
            Kind::Interrupt(interrupt) => {
                Self::Interrupt { turn: fields::turn(&interrupt.turn)?, by: fields::message(&interrupt.by)? }
            }
            Kind::Wake(wake) => Self::Wake { after_ms: wake.after_ms, last: fields::message(&wake.last)? },
            Kind::Reply(reply) => Self::Reply(reply.try_into()?),
        })
    }
}
