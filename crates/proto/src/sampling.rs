//! Words that an MCP server wants of the model.

use domain::sampling::{Sample, Sampled, Voice};

use crate::fields::{self, required};
use crate::{InvalidMessage, v1, wire};

wire!(Sample as v1::Sample);
wire!(Sampled as v1::Sampled);

impl From<&Sample> for v1::Sample {
    fn from(value: &Sample) -> Self {
        let messages = value
            .messages
            .iter()
            .map(|(voice, text)| v1::SampleMessage { assistant: *voice == Voice::Assistant, text: text.clone() });
        Self {
            principal: Some((&value.principal).into()),
            conversation: value.conversation.to_string(),
            id: value.id.clone(),
            system: value.system.clone(),
            messages: messages.collect(),
            max_tokens: value.max_tokens,
        }
    }
}

impl TryFrom<v1::Sample> for Sample {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Sample) -> Result<Self, InvalidMessage> {
        let voice = |assistant| if assistant { Voice::Assistant } else { Voice::User };
        Ok(Self {
            principal: required(raw.principal, "sample.principal")?.try_into()?,
            conversation: fields::conversation(&raw.conversation)?,
            id: raw.id,
            system: raw.system,
            messages: raw.messages.into_iter().map(|said| (voice(said.assistant), said.text)).collect(),
            max_tokens: raw.max_tokens,
        })
    }
}

impl From<&Sampled> for v1::Sampled {
    fn from(value: &Sampled) -> Self {
        Self { text: value.text.clone(), model: value.model.clone(), cut: value.is_cut }
    }
}

impl TryFrom<v1::Sampled> for Sampled {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Sampled) -> Result<Self, InvalidMessage> {
        Ok(Self { text: raw.text, model: raw.model, is_cut: raw.cut })
    }
}
