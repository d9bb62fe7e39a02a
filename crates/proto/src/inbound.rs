//! What moves a conversation.

use domain::message::{Event, Inbound, TurnFinished};

use crate::common::{approval, approval_number, question, question_raw, tier_number};
use crate::fields::{self, required, texts};
use crate::{InvalidMessage, v1, wire};

wire!(Inbound as v1::Inbound);

impl From<&Inbound> for v1::Inbound {
    fn from(value: &Inbound) -> Self {
        use v1::inbound::Event as Raw;
        let event = match &value.event {
            Event::MessageReceived(message) => Raw::MessageReceived(message.into()),
            Event::StopRequested { id, by } => {
                Raw::StopRequested(v1::StopRequested { id: id.to_string(), by: Some(by.into()) })
            }
            Event::ConversationReset { id, by } => {
                Raw::ConversationReset(v1::ConversationReset { id: id.to_string(), by: Some(by.into()) })
            }
            Event::TurnLost { turn } => Raw::TurnLost(v1::TurnLost { turn: turn.to_string() }),
            Event::QueueModeChosen { id, by, mode } => Raw::QueueModeChosen(v1::QueueModeChosen {
                id: id.to_string(),
                by: Some(by.into()),
                mode: v1::QueueMode::from(mode).into(),
            }),
            Event::TurnForked { id, by, origin, model } => Raw::TurnForked(v1::TurnForked {
                id: id.to_string(),
                by: Some(by.into()),
                origin: Some(origin.into()),
                model: model.clone().unwrap_or_default(),
            }),
            Event::DebounceElapsed { last } => Raw::DebounceElapsed(v1::DebounceElapsed { last: last.to_string() }),
            Event::ApprovalModeChosen { id, by, mode } => Raw::ApprovalModeChosen(v1::ApprovalModeChosen {
                id: id.to_string(),
                by: Some(by.into()),
                mode: approval_number(*mode),
            }),
            Event::QuestionAnswered { id, by, turn, choice, at_ms } => Raw::QuestionAnswered(v1::QuestionAnswered {
                id: id.to_string(),
                by: Some(by.into()),
                turn: turn.to_string(),
                choice: v1::Choice::from(choice).into(),
                at_ms: *at_ms,
            }),
            Event::QuestionAsked { turn, question, text, at_ms } => Raw::QuestionAsked(v1::QuestionAsked {
                turn: turn.to_string(),
                question: question_raw(*question).into(),
                text: text.clone(),
                at_ms: *at_ms,
            }),
            Event::TurnFinished(finished) => Raw::TurnFinished(v1::TurnFinished {
                turn: finished.turn.to_string(),
                answers: texts(&finished.answers),
                tier: tier_number(finished.tier),
            }),
        };
        Self {
            conversation: value.conversation.to_string(),
            route: value.route.as_ref().map(Into::into),
            event: Some(event),
        }
    }
}

impl TryFrom<v1::Inbound> for Inbound {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Inbound) -> Result<Self, InvalidMessage> {
        use v1::inbound::Event as Raw;
        let event = match required(raw.event, "event")? {
            Raw::MessageReceived(message) => Event::MessageReceived(message.try_into()?),
            Raw::StopRequested(stop) => {
                Event::StopRequested { id: fields::message(&stop.id)?, by: required(stop.by, "by")?.try_into()? }
            }
            Raw::ConversationReset(reset) => {
                Event::ConversationReset { id: fields::message(&reset.id)?, by: required(reset.by, "by")?.try_into()? }
            }
            Raw::TurnLost(lost) => Event::TurnLost { turn: fields::turn(&lost.turn)? },
            Raw::QueueModeChosen(chosen) => Event::QueueModeChosen {
                id: fields::message(&chosen.id)?,
                mode: chosen.mode().try_into()?,
                by: required(chosen.by, "by")?.try_into()?,
            },
            Raw::TurnForked(forked) => Event::TurnForked {
                id: fields::message(&forked.id)?,
                by: required(forked.by, "by")?.try_into()?,
                origin: required(forked.origin, "origin")?.try_into()?,
                model: fields::optional_text(forked.model),
            },
            Raw::DebounceElapsed(elapsed) => Event::DebounceElapsed { last: fields::message(&elapsed.last)? },
            Raw::ApprovalModeChosen(chosen) => Event::ApprovalModeChosen {
                id: fields::message(&chosen.id)?,
                mode: approval(chosen.mode()),
                by: required(chosen.by, "by")?.try_into()?,
            },
            Raw::QuestionAnswered(answered) => Event::QuestionAnswered {
                id: fields::message(&answered.id)?,
                turn: fields::turn(&answered.turn)?,
                choice: answered.choice().try_into()?,
                by: required(answered.by, "by")?.try_into()?,
                at_ms: answered.at_ms,
            },
            Raw::QuestionAsked(asked) => Event::QuestionAsked {
                turn: fields::turn(&asked.turn)?,
                question: question(asked.question()),
                text: asked.text,
                at_ms: asked.at_ms,
            },
            Raw::TurnFinished(finished) => Event::TurnFinished(TurnFinished {
                turn: fields::turn(&finished.turn)?,
                answers: fields::messages(&finished.answers)?,
                tier: finished.tier().try_into()?,
            }),
        };
        Ok(Self {
            conversation: fields::conversation(&raw.conversation)?,
            route: raw.route.map(TryInto::try_into).transpose()?,
            event,
        })
    }
}
