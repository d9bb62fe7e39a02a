//! Tool requests, records and the catalogue.

use domain::message::Principal;
use domain::tool::{
    Consent, Effect, Intent, ListTools, Outcome, OutcomeKind, Risk, SandboxReport, ToolClass, ToolRecord, ToolRequest,
    ToolSpec,
};

use crate::common::{approval, approval_number};
use crate::fields::{self, all, raws, required, wire_enum};
use crate::{InvalidMessage, Wire, decode, v1, wire};

wire!(ToolRequest as v1::RunTool);
wire!(ToolRecord as v1::ToolRecord);

wire_enum!(ToolClass as ToolClass, "class", { Builtin => Builtin, Mcp => Mcp, Sandbox => Sandbox });
wire_enum!(Effect as Effect, "effect", { ReadOnly => ReadOnly, Idempotent => Idempotent, Once => Once });
wire_enum!(Risk as Risk, "risk", { Safe => Safe, Moderate => Moderate, Dangerous => Dangerous });
wire_enum!(OutcomeKind as OutcomeKind, "outcome.kind", {
    Succeeded => Succeeded, Failed => Failed, Unknown => Unknown, Skipped => Skipped,
    Unapproved => Unapproved,
});

wire!(ListTools as v1::ListTools);

impl From<&ListTools> for v1::ListTools {
    fn from(value: &ListTools) -> Self {
        Self {
            principal: Some((&value.principal).into()),
            conversation: value.conversation.as_ref().map_or_else(String::new, ToString::to_string),
        }
    }
}

impl TryFrom<v1::ListTools> for ListTools {
    type Error = InvalidMessage;
    fn try_from(raw: v1::ListTools) -> Result<Self, InvalidMessage> {
        Ok(Self {
            principal: required(raw.principal, "principal")?.try_into()?,
            conversation: fields::optional_text(raw.conversation).as_deref().map(fields::conversation).transpose()?,
        })
    }
}

/// Asks how it is with whatever a person may use.
impl Wire for Principal {
    fn to_wire(&self) -> Vec<u8> {
        prost::Message::encode_to_vec(&v1::ListTools { principal: Some(self.into()), conversation: String::new() })
    }
    fn from_wire(bytes: &[u8]) -> Result<Self, InvalidMessage> {
        required(decode::<v1::ListTools>(bytes)?.principal, "principal")?.try_into()
    }
}

impl Wire for SandboxReport {
    fn to_wire(&self) -> Vec<u8> {
        let raw = v1::SandboxReport { chosen: self.chosen.clone(), others: self.others.clone() };
        prost::Message::encode_to_vec(&raw)
    }
    fn from_wire(bytes: &[u8]) -> Result<Self, InvalidMessage> {
        let v1::SandboxReport { chosen, others } = decode(bytes)?;
        Ok(Self { chosen, others })
    }
}

/// The tools that a person may use.
impl Wire for Vec<ToolSpec> {
    fn to_wire(&self) -> Vec<u8> {
        prost::Message::encode_to_vec(&v1::ToolsListed { tools: raws(self) })
    }
    fn from_wire(bytes: &[u8]) -> Result<Self, InvalidMessage> {
        all(decode::<v1::ToolsListed>(bytes)?.tools)
    }
}

impl From<&ToolSpec> for v1::ToolSpec {
    fn from(value: &ToolSpec) -> Self {
        Self {
            name: value.name.clone(),
            description: value.description.clone(),
            schema: value.schema.clone(),
            class: v1::ToolClass::from(&value.class).into(),
            effect: v1::Effect::from(&value.effect).into(),
            risk: v1::Risk::from(&value.risk).into(),
            for_anyone: value.for_anyone,
            timeout_ms: value.timeout_ms,
            intent: match value.intent {
                Intent::Read => v1::Intent::Read,
                Intent::Write => v1::Intent::Write,
                Intent::Execute => v1::Intent::Execute,
                Intent::Network => v1::Intent::Network,
            }
            .into(),
            group: value.group.clone(),
            untrusted: value.is_untrusted,
            asks: value.consent != Consent::Given,
            barred: value.consent == Consent::Barred,
        }
    }
}

impl TryFrom<v1::ToolSpec> for ToolSpec {
    type Error = InvalidMessage;
    fn try_from(raw: v1::ToolSpec) -> Result<Self, InvalidMessage> {
        Ok(Self {
            class: raw.class().try_into()?,
            effect: raw.effect().try_into()?,
            risk: raw.risk().try_into()?,
            intent: match raw.intent() {
                v1::Intent::Read => Intent::Read,
                v1::Intent::Unspecified | v1::Intent::Write => Intent::Write,
                v1::Intent::Execute => Intent::Execute,
                v1::Intent::Network => Intent::Network,
            },
            group: raw.group,
            is_untrusted: raw.untrusted,
            consent: match (raw.barred, raw.asks) {
                (true, _) => Consent::Barred,
                (false, true) => Consent::Asked,
                (false, false) => Consent::Given,
            },
            name: raw.name,
            description: raw.description,
            schema: raw.schema,
            for_anyone: raw.for_anyone,
            timeout_ms: raw.timeout_ms,
        })
    }
}

impl From<&ToolRequest> for v1::RunTool {
    fn from(value: &ToolRequest) -> Self {
        Self {
            call: value.call.to_string(),
            conversation: value.conversation.to_string(),
            principal: Some((&value.principal).into()),
            route: Some((&value.route).into()),
            approval: approval_number(value.approval),
            name: value.name.clone(),
            arguments: value.arguments.clone(),
            after: fields::optional_turn_text(value.after),
        }
    }
}

impl TryFrom<v1::RunTool> for ToolRequest {
    type Error = InvalidMessage;
    fn try_from(raw: v1::RunTool) -> Result<Self, InvalidMessage> {
        Ok(Self {
            call: fields::call(&raw.call)?,
            conversation: fields::conversation(&raw.conversation)?,
            approval: approval(raw.approval()),
            route: required(raw.route, "route")?.try_into()?,
            after: fields::optional_turn(&raw.after)?,
            principal: required(raw.principal, "principal")?.try_into()?,
            name: raw.name,
            arguments: raw.arguments,
        })
    }
}

impl From<&Outcome> for v1::Outcome {
    fn from(value: &Outcome) -> Self {
        Self { kind: v1::OutcomeKind::from(&value.kind).into(), text: value.text.clone(), elapsed_ms: value.elapsed_ms }
    }
}

impl TryFrom<v1::Outcome> for Outcome {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Outcome) -> Result<Self, InvalidMessage> {
        Ok(Self { kind: raw.kind().try_into()?, text: raw.text, elapsed_ms: raw.elapsed_ms })
    }
}

impl From<&ToolRecord> for v1::ToolRecord {
    fn from(value: &ToolRecord) -> Self {
        use v1::tool_record::{Started, State};
        let state = match value {
            ToolRecord::Started { runner } => State::Started(Started { runner: runner.clone() }),
            ToolRecord::Done(outcome) => State::Done(outcome.into()),
        };
        Self { state: Some(state) }
    }
}

impl TryFrom<v1::ToolRecord> for ToolRecord {
    type Error = InvalidMessage;
    fn try_from(raw: v1::ToolRecord) -> Result<Self, InvalidMessage> {
        use v1::tool_record::State;
        Ok(match required(raw.state, "tool_record.state")? {
            State::Started(started) => Self::Started { runner: started.runner },
            State::Done(outcome) => Self::Done(outcome.try_into()?),
        })
    }
}
