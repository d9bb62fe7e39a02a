//! Recall and passages.

use domain::memory::{
    Comparison, HistoryMessage, Passage, PassageRequest, RecallRequest, Recalled, Reminder, Role, Similarities,
};

use crate::fields::{self, all, raws, required};
use crate::{InvalidMessage, Wire, decode, v1, wire};

wire!(RecallRequest as v1::Recall);
wire!(Recalled as v1::Recalled);
wire!(Comparison as v1::Comparison);
wire!(PassageRequest as v1::PassageRequest);
wire!(Similarities as v1::Similarities);

impl From<&RecallRequest> for v1::Recall {
    fn from(value: &RecallRequest) -> Self {
        Self {
            conversation: value.conversation.to_string(),
            principal: Some((&value.principal).into()),
            audience: v1::Audience::from(&value.audience).into(),
            generation: value.generation,
            previous_turn: fields::optional_turn_text(value.previous),
            query: value.query.clone(),
            history_limit: value.history_limit,
            fact_limit: value.fact_limit,
            relation_limit: value.relation_limit,
            channel: value.channel.clone(),
            passage_limit: value.passage_limit,
        }
    }
}

impl TryFrom<v1::Recall> for RecallRequest {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Recall) -> Result<Self, InvalidMessage> {
        Ok(Self {
            conversation: fields::conversation(&raw.conversation)?,
            audience: raw.audience().try_into()?,
            previous: fields::optional_turn(&raw.previous_turn)?,
            principal: required(raw.principal, "principal")?.try_into()?,
            generation: raw.generation,
            query: raw.query,
            history_limit: raw.history_limit,
            fact_limit: raw.fact_limit,
            relation_limit: raw.relation_limit,
            channel: raw.channel,
            passage_limit: raw.passage_limit,
        })
    }
}

impl From<&Recalled> for v1::Recalled {
    fn from(value: &Recalled) -> Self {
        Self {
            history: raws(&value.history),
            facts: raws(&value.facts),
            passages: raws(&value.passages),
            relations: value.relations.clone(),
            moods: value.moods.clone(),
            topics: value.topics.clone(),
            summaries: value.summaries.clone(),
            reminders: raws(&value.reminders),
            degraded: value.degraded,
        }
    }
}

impl TryFrom<v1::Recalled> for Recalled {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Recalled) -> Result<Self, InvalidMessage> {
        Ok(Self {
            history: all(raw.history)?,
            facts: raw.facts.into_iter().map(Into::into).collect(),
            passages: raw.passages.into_iter().map(Into::into).collect(),
            relations: raw.relations,
            moods: raw.moods,
            topics: raw.topics,
            summaries: raw.summaries,
            reminders: raw.reminders.into_iter().map(Into::into).collect(),
            degraded: raw.degraded,
        })
    }
}

impl From<&HistoryMessage> for v1::HistoryMessage {
    fn from(value: &HistoryMessage) -> Self {
        Self {
            assistant: value.role == Role::Assistant,
            name: value.name.clone(),
            text: value.text.clone(),
            attachments: raws(&value.attachments),
            at_ms: value.at_ms,
        }
    }
}

impl TryFrom<v1::HistoryMessage> for HistoryMessage {
    type Error = InvalidMessage;
    fn try_from(raw: v1::HistoryMessage) -> Result<Self, InvalidMessage> {
        let role = if raw.assistant { Role::Assistant } else { Role::User };
        Ok(Self { role, name: raw.name, text: raw.text, attachments: all(raw.attachments)?, at_ms: raw.at_ms })
    }
}

impl From<&Reminder> for v1::Reminder {
    fn from(value: &Reminder) -> Self {
        Self { id: value.id.clone(), content: value.content.clone() }
    }
}

impl From<v1::Reminder> for Reminder {
    fn from(raw: v1::Reminder) -> Self {
        Self { id: raw.id, content: raw.content }
    }
}

impl From<&Passage> for v1::Passage {
    fn from(value: &Passage) -> Self {
        Self { id: value.id.clone(), speaker: value.speaker.clone(), text: value.text.clone(), at_ms: value.at_ms }
    }
}

impl From<v1::Passage> for Passage {
    fn from(raw: v1::Passage) -> Self {
        Self { id: raw.id, speaker: raw.speaker, text: raw.text, at_ms: raw.at_ms }
    }
}

impl From<&PassageRequest> for v1::PassageRequest {
    fn from(value: &PassageRequest) -> Self {
        Self {
            principal: Some((&value.principal).into()),
            group: value.group.as_ref().map_or_else(String::new, ToString::to_string),
            query: value.query.clone(),
            limit: value.limit,
        }
    }
}

impl TryFrom<v1::PassageRequest> for PassageRequest {
    type Error = InvalidMessage;
    fn try_from(raw: v1::PassageRequest) -> Result<Self, InvalidMessage> {
        let group = fields::optional_text(raw.group);
        Ok(Self {
            group: group.as_deref().map(fields::conversation).transpose()?,
            principal: required(raw.principal, "principal")?.try_into()?,
            query: raw.query,
            limit: raw.limit,
        })
    }
}

impl From<&Comparison> for v1::Comparison {
    fn from(value: &Comparison) -> Self {
        Self { questions: value.questions.clone(), texts: value.texts.clone() }
    }
}

impl TryFrom<v1::Comparison> for Comparison {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Comparison) -> Result<Self, InvalidMessage> {
        Ok(Self { questions: raw.questions, texts: raw.texts })
    }
}

impl From<&Similarities> for v1::Similarities {
    fn from(value: &Similarities) -> Self {
        let row = |row: &Vec<Option<f32>>| v1::similarities::Row {
            values: row.iter().map(|value| value.unwrap_or(f32::NAN)).collect(),
        };
        Self { rows: value.0.iter().map(row).collect() }
    }
}

impl TryFrom<v1::Similarities> for Similarities {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Similarities) -> Result<Self, InvalidMessage> {
        let row = |row: v1::similarities::Row| {
            row.values.into_iter().map(|value| value.is_finite().then_some(value)).collect()
        };
        Ok(Self(raw.rows.into_iter().map(row).collect()))
    }
}

/// The passages that a [`PassageRequest`] found, best first.
impl Wire for Vec<Passage> {
    fn to_wire(&self) -> Vec<u8> {
        prost::Message::encode_to_vec(&v1::Passages { passages: raws(self) })
    }
    fn from_wire(bytes: &[u8]) -> Result<Self, InvalidMessage> {
        Ok(decode::<v1::Passages>(bytes)?.passages.into_iter().map(Into::into).collect())
    }
}
