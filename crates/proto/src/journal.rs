//! The turn's journal.

use std::sync::Arc;

use domain::chat::{Answer, Ending};
use domain::decide::Tools;
use domain::journal::{Entry, Fault, Record};

use crate::common::tier_number;
use crate::fields::{self, all, raws, required, wire_enum};
use crate::v1::journal_entry as raw;
use crate::{InvalidMessage, v1, wire};

wire!(Record as v1::JournalRecord);

wire_enum!(Ending as Ending, "answer.ending", { Complete => Complete, Cut => Cut, Filtered => Filtered });

impl From<&Record> for v1::JournalRecord {
    fn from(value: &Record) -> Self {
        Self { epoch: value.epoch, at_ms: value.at_ms, entries: raws(&value.entries) }
    }
}

impl TryFrom<v1::JournalRecord> for Record {
    type Error = InvalidMessage;
    fn try_from(raw: v1::JournalRecord) -> Result<Self, InvalidMessage> {
        Ok(Self { epoch: raw.epoch, at_ms: raw.at_ms, entries: all(raw.entries)? })
    }
}

impl From<&Entry> for v1::JournalEntry {
    fn from(value: &Entry) -> Self {
        use raw::Kind;
        let kind = match value {
            Entry::Claimed { replica, build, item } => {
                Kind::Claimed(raw::Claimed { replica: replica.clone(), build: build.clone(), item: *item })
            }
            Entry::ContextFixed(context) => Kind::ContextFixed(context.as_ref().into()),
            Entry::StepStarted { step, tier, model, request_hash, tools, max_tokens } => {
                Kind::StepStarted(raw::StepStarted {
                    tools_withheld: *tools == Tools::Withheld,
                    max_tokens: *max_tokens,
                    step: *step,
                    tier: tier_number(*tier),
                    model: model.clone(),
                    request_hash: request_hash.clone(),
                })
            }
            Entry::ModelAnswered { step, answer } => Kind::ModelAnswered(raw::ModelAnswered {
                step: *step,
                text: answer.text.clone(),
                calls: raws(&answer.calls),
                signatures: answer.signatures.clone(),
                usage: Some((&answer.usage).into()),
                ending: v1::Ending::from(&answer.ending).into(),
            }),
            Entry::ModelFailed { step, fault } => {
                let (fault, retry_after_s) = fault_parts(fault);
                Kind::ModelFailed(raw::ModelFailed { step: *step, fault: fault.into(), retry_after_s })
            }
            Entry::ToolIntended { call, vendor_id, name, arguments, effect } => Kind::ToolIntended(raw::ToolIntended {
                call: call.to_string(),
                vendor_id: vendor_id.clone(),
                name: name.clone(),
                arguments: arguments.clone(),
                effect: v1::Effect::from(effect).into(),
            }),
            Entry::ToolFinished { call, outcome } => {
                Kind::ToolFinished(raw::ToolFinished { call: call.to_string(), outcome: Some(outcome.into()) })
            }
            Entry::ToolsEnded { reason } => Kind::ToolsEnded(raw::ToolsEnded { reason: reason.clone() }),
            Entry::StopRequested { stop } => Kind::StopRequested(raw::TurnStopRequested { stop: stop.to_string() }),
            Entry::Injected { message } => Kind::Injected(raw::Injected { message: Some(message.as_ref().into()) }),
            Entry::Interrupted { by } => Kind::Interrupted(raw::Interrupted { by: by.to_string() }),
            Entry::ReplyReady(reply) => Kind::ReplyReady(reply.as_ref().into()),
            Entry::Finished => Kind::Finished(raw::Finished {}),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::JournalEntry> for Entry {
    type Error = InvalidMessage;
    fn try_from(entry: v1::JournalEntry) -> Result<Self, InvalidMessage> {
        use raw::Kind;
        Ok(match required(entry.kind, "entry.kind")? {
            Kind::Claimed(claimed) => {
                Self::Claimed { replica: claimed.replica, build: claimed.build, item: claimed.item }
            }
            Kind::ContextFixed(context) => Self::ContextFixed(Arc::new(context.try_into()?)),
            Kind::StepStarted(started) => Self::StepStarted {
                step: started.step,
                tier: started.tier().try_into()?,
                model: started.model,
                tools: if started.tools_withheld { Tools::Withheld } else { Tools::Offered },
                max_tokens: started.max_tokens,
                request_hash: started.request_hash,
            },
            Kind::ModelAnswered(answered) => Self::ModelAnswered {
                step: answered.step,
                answer: Answer {
                    ending: answered.ending().try_into()?,
                    text: answered.text,
                    calls: answered.calls.into_iter().map(Into::into).collect(),
                    signatures: answered.signatures,
                    usage: answered.usage.map(Into::into).unwrap_or_default(),
                },
            },
            Kind::ModelFailed(failed) => {
                Self::ModelFailed { step: failed.step, fault: fault(failed.fault(), failed.retry_after_s)? }
            }
            Kind::ToolIntended(intended) => Self::ToolIntended {
                call: fields::call(&intended.call)?,
                effect: intended.effect().try_into()?,
                vendor_id: intended.vendor_id,
                name: intended.name,
                arguments: intended.arguments,
            },
            Kind::ToolFinished(finished) => Self::ToolFinished {
                call: fields::call(&finished.call)?,
                outcome: required(finished.outcome, "outcome")?.try_into()?,
            },
            Kind::ToolsEnded(found) => Self::ToolsEnded { reason: found.reason },
            Kind::StopRequested(stop) => Self::StopRequested { stop: fields::message(&stop.stop)? },
            Kind::Injected(injected) => {
                Self::Injected { message: Box::new(required(injected.message, "injected.message")?.try_into()?) }
            }
            Kind::Interrupted(interrupted) => Self::Interrupted { by: fields::message(&interrupted.by)? },
            Kind::ReplyReady(reply) => Self::ReplyReady(Box::new(reply.try_into()?)),
            Kind::Finished(raw::Finished {}) => Self::Finished,
        })
    }
}

fn fault_parts(fault: &Fault) -> (v1::Fault, Option<u64>) {
    match fault {
        Fault::Auth => (v1::Fault::Auth, None),
        Fault::RateLimited { retry_after_s } => (v1::Fault::RateLimited, *retry_after_s),
        Fault::ContextOverflow => (v1::Fault::ContextOverflow, None),
        Fault::Transient => (v1::Fault::Transient, None),
        Fault::Rejected => (v1::Fault::Rejected, None),
        Fault::OverBudget => (v1::Fault::OverBudget, None),
        Fault::ChannelOverBudget => (v1::Fault::ChannelOverBudget, None),
    }
}

fn fault(raw: v1::Fault, retry_after_s: Option<u64>) -> Result<Fault, InvalidMessage> {
    Ok(match raw {
        v1::Fault::Auth => Fault::Auth,
        v1::Fault::RateLimited => Fault::RateLimited { retry_after_s },
        v1::Fault::ContextOverflow => Fault::ContextOverflow,
        v1::Fault::Transient => Fault::Transient,
        v1::Fault::Rejected => Fault::Rejected,
        v1::Fault::OverBudget => Fault::OverBudget,
        v1::Fault::ChannelOverBudget => Fault::ChannelOverBudget,
        v1::Fault::Unspecified => return Err(InvalidMessage::Missing("fault")),
    })
}
