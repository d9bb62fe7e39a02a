//! What has happened in a turn: entries, and the state they fold into.
//!
//! State is a fold over entries, not a replay of code: a new build, or another
//! replica, reads what an old one wrote and goes on from there. The entries of
//! one record are stored by one append, so they happen together or not at all.

use std::sync::Arc;

use crate::chat::{Answer, Usage};
use crate::decide::Tools;
use crate::ids::{CallId, MessageId};
use crate::message::UserMessage;
use crate::tier::Tier;
use crate::tool::{Effect, Outcome};
use crate::turn::{Reply, TurnContext};

/// Why a model could not answer, as far as the person is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The key is missing, wrong, or not paid for.
    Auth,
    RateLimited {
        retry_after_s: Option<u64>,
    },
    ContextOverflow,
    /// Overload, time-out, a cut stream: it may work later.
    Transient,
    /// The vendor refuses the request itself.
    Rejected,
    /// The person has spent what they may today.
    OverBudget,
    /// The same of all who speak here.
    ChannelOverBudget,
}

impl Fault {
    pub fn as_str(&self) -> &'static str {
        match self {
            Fault::Auth => "auth",
            Fault::RateLimited { .. } => "rate limit",
            Fault::ContextOverflow => "context overflow",
            Fault::Transient => "transient",
            Fault::Rejected => "rejected",
            Fault::OverBudget => "over budget",
            Fault::ChannelOverBudget => "channel over budget",
        }
    }

    /// What the person is told. Holds no vendor text, which may quote secrets.
    pub fn told_user(&self) -> String {
        match self {
            Fault::Auth => "The model provider did not accept my key. Check the provider's API key \
                            in the configuration (`clara config check`), then send your message again."
                .into(),
            Fault::RateLimited { retry_after_s: Some(seconds) } => format!(
                "The model provider says I am asking too often, and to come back in {}. \
                 Send your message again then.",
                in_words(*seconds)
            ),
            Fault::RateLimited { retry_after_s: None } => {
                "The model provider says I am asking too often. Send your message again in a few minutes.".into()
            }
            Fault::ContextOverflow => "This conversation is too long for the model. Start afresh with `!clear`, \
                                       or choose a model with a larger window."
                .into(),
            Fault::Transient => {
                "The model did not answer, although I tried several times. Please send your message again.".into()
            }
            Fault::OverBudget => "Stopped: you have used up what you may spend today. It begins anew at midnight; \
                                  who runs me can raise it (`CLARA_BUDGET_USER_TOKENS`, `CLARA_BUDGET_USER_CENTS`)."
                .into(),
            Fault::ChannelOverBudget => "Stopped: what may be spent in this conversation today is used up. It begins \
                                         anew at midnight; who runs me can raise it (`CLARA_BUDGET_CHANNEL_TOKENS`, \
                                         `CLARA_BUDGET_CHANNEL_CENTS`)."
                .into(),
            Fault::Rejected => "The model provider refused the request. `clara doctor` and the log of the \
                                orchestrator say more; another model may take it (`!high`, `!mid`, `!low`)."
                .into(),
        }
    }
}

fn in_words(seconds: u64) -> String {
    match seconds {
        0..=90 => format!("{seconds} seconds"),
        91..=5400 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{} hours", seconds.div_ceil(3600)),
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A replica took the turn over. Its epoch is the record's.
    Claimed {
        replica: String,
        build: String,
        /// Where the work item stands that it works from, in the stream of turns;
        /// 0 when an older build wrote this.
        item: u64,
    },
    /// What the turn works from. Stored with the first claim.
    ContextFixed(Arc<TurnContext>),
    StepStarted {
        step: u32,
        tier: Tier,
        model: String,
        request_hash: String,
        /// Whether it may call tools, and how long its answer may be: with the
        /// context and the entries before, all that the request is made of.
        tools: Tools,
        max_tokens: u32,
    },
    ModelAnswered {
        step: u32,
        answer: Answer,
    },
    ModelFailed {
        step: u32,
        fault: Fault,
    },
    ToolIntended {
        call: CallId,
        vendor_id: String,
        name: String,
        arguments: String,
        effect: Effect,
    },
    ToolFinished {
        call: CallId,
        outcome: Outcome,
    },
    /// The turn may use no more tools: it goes round in circles, or takes too long.
    ToolsEnded {
        reason: String,
    },
    /// Written by the router.
    StopRequested {
        stop: MessageId,
    },
    /// A message that goes into the running turn. Written by the router.
    Injected {
        message: Box<UserMessage>,
    },
    /// A newer message takes the turn's place. Written by the router.
    Interrupted {
        by: MessageId,
    },
    ReplyReady(Box<Reply>),
    /// The reply is on its way out. No build writes it any more: the reply says as
    /// much, and sending it again is harmless.
    Finished,
}

/// What one append stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The writer's claim. The router, which claims nothing, writes 0.
    pub epoch: u32,
    pub at_ms: i64,
    pub entries: Vec<Entry>,
}

impl Record {
    /// Whether this record takes a step over from another turn: then its answer
    /// is stored together with what the turn works from.
    pub(crate) fn carries(&self, step: u32) -> bool {
        let begins = self.entries.iter().any(|entry| matches!(entry, Entry::ContextFixed(_)));
        begins && self.entries.iter().any(|entry| matches!(entry, Entry::ModelAnswered { step: of, .. } if *of == step))
    }
}

/// One call of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub id: CallId,
    pub vendor_id: String,
    pub name: String,
    pub arguments: String,
    pub effect: Effect,
    pub outcome: Option<Outcome>,
}

/// One question to the model, with what followed from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepState {
    pub tier: Tier,
    pub model: String,
    pub request_hash: String,
    pub tools: Tools,
    pub max_tokens: u32,
    pub answer: Option<Answer>,
    pub fault: Option<Fault>,
    pub calls: Vec<Call>,
}

/// A message that came into the turn while it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected {
    pub message: UserMessage,
    /// The first step that was asked with it; none yet, when the next one is to be.
    pub step: Option<u32>,
}

/// The state of a turn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TurnState {
    /// The epoch of the newest claim; 0 when nobody has claimed the turn.
    pub epoch: u32,
    pub owner: String,
    /// The work item that the owner works from; 0 when that is not known.
    pub item: u64,
    pub context: Option<Arc<TurnContext>>,
    pub steps: Vec<StepState>,
    pub stops: Vec<MessageId>,
    pub injected: Vec<Injected>,
    pub interrupted: Option<MessageId>,
    pub tools_ended: Option<String>,
    pub reply: Option<Box<Reply>>,
    pub finished: bool,
    /// Claims since something was last achieved.
    pub idle_claims: u32,
}

impl TurnState {
    pub fn fold<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut state = Self::default();
        for record in records {
            state.apply(record);
        }
        state
    }

    /// Takes one record in. A record whose epoch is older than the newest
    /// claim cannot be in a journal written by compare-and-set; it is ignored.
    pub fn apply(&mut self, record: &Record) {
        let claims = record.entries.iter().any(|entry| matches!(entry, Entry::Claimed { .. }));
        if record.epoch != 0 && record.epoch < self.epoch + u32::from(claims) {
            return;
        }
        for entry in &record.entries {
            self.apply_entry(record, entry);
        }
    }

    /// Takes one entry of a record in.
    pub(crate) fn apply_entry(&mut self, record: &Record, entry: &Entry) {
        let epoch = record.epoch;
        match entry {
            Entry::Claimed { replica, item, .. } => {
                self.epoch = epoch;
                self.owner.clone_from(replica);
                self.item = *item;
                self.idle_claims += 1;
            }
            Entry::ContextFixed(context) => {
                self.context.get_or_insert_with(|| Arc::clone(context));
            }
            Entry::StepStarted { step, tier, model, request_hash, tools, max_tokens } => {
                // A step that was taken over with its answer was asked elsewhere,
                // and read nothing that came in here.
                if !record.carries(*step) {
                    for injected in self.injected.iter_mut().filter(|injected| injected.step.is_none()) {
                        injected.step = Some(*step);
                    }
                }
                self.steps.truncate(*step as usize);
                self.steps.push(StepState {
                    tier: *tier,
                    model: model.clone(),
                    request_hash: request_hash.clone(),
                    tools: *tools,
                    max_tokens: *max_tokens,
                    answer: None,
                    fault: None,
                    calls: Vec::new(),
                });
            }
            Entry::ModelAnswered { step, answer } => {
                if let Some(step) = self.steps.get_mut(*step as usize) {
                    step.answer = Some(answer.clone());
                    self.idle_claims = 0;
                }
            }
            Entry::ModelFailed { step, fault } => {
                if let Some(step) = self.steps.get_mut(*step as usize) {
                    step.fault = Some(fault.clone());
                }
            }
            Entry::ToolIntended { call, vendor_id, name, arguments, effect } => {
                if let Some(step) = self.steps.get_mut(call.step as usize)
                    && !step.calls.iter().any(|known| known.id == *call)
                {
                    step.calls.push(Call {
                        id: *call,
                        vendor_id: vendor_id.clone(),
                        name: name.clone(),
                        arguments: arguments.clone(),
                        effect: *effect,
                        outcome: None,
                    });
                }
            }
            Entry::ToolFinished { call, outcome } => {
                let known = self
                    .steps
                    .get_mut(call.step as usize)
                    .and_then(|step| step.calls.iter_mut().find(|known| known.id == *call && known.outcome.is_none()));
                if let Some(known) = known {
                    known.outcome = Some(outcome.clone());
                    self.idle_claims = 0;
                }
            }
            Entry::ToolsEnded { reason } => self.tools_ended = Some(reason.clone()),
            Entry::StopRequested { stop } => {
                if !self.stops.contains(stop) {
                    self.stops.push(stop.clone());
                }
            }
            Entry::Injected { message } => {
                if !self.injected.iter().any(|known| known.message.id == message.id) {
                    self.injected.push(Injected { message: message.as_ref().clone(), step: None });
                }
            }
            Entry::Interrupted { by } => {
                self.interrupted.get_or_insert_with(|| by.clone());
            }
            Entry::ReplyReady(reply) => {
                self.reply.get_or_insert_with(|| reply.clone());
                self.idle_claims = 0;
            }
            Entry::Finished => self.finished = true,
        }
    }

    /// Whether a person ended the turn.
    pub fn is_stopped(&self) -> bool {
        !self.stops.is_empty() || self.interrupted.is_some()
    }

    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for answer in self.steps.iter().filter_map(|step| step.answer.as_ref()) {
            usage += answer.usage;
        }
        usage
    }

    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.steps.iter().flat_map(|step| &step.calls)
    }
}

#[cfg(test)]
mod tests;
