//! What a turn does next: a pure function of what has happened in it.

mod request; // What the model reads in a step.
mod room; // What of its steps fits.

pub(crate) use request::with_found;
pub use request::{found, messages, request};

use crate::approval::{self, Question};
use crate::carry;
use crate::chat::{Answer, Ending, ToolCall};
use crate::guard;
use crate::ids::CallId;
use crate::journal::{Call, Entry, Fault, TurnState};
use crate::tier::Tier;
use crate::tool::{Consent, Effect, Outcome, OutcomeKind};
use crate::turn::{Reply, ReplyKind, TurnContext};

/// What a turn may do at most.
#[derive(Debug, Clone)]
pub struct TurnLimits {
    /// Model calls that may ask for tools; after them comes one without.
    pub steps: u32,
    /// Calls of one answer that run; the others are refused to the model.
    pub calls_per_step: usize,
    /// Claims without progress before the turn is given up.
    pub idle_claims: u32,
}

/// Whether the model may call tools in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tools {
    Offered,
    Withheld,
}

/// The next thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    AskModel {
        step: u32,
        tier: Tier,
        tools: Tools,
    },
    /// Store these entries: the calls that the last answer asked for.
    Plan(Vec<Entry>),
    /// These calls are stored and have no outcome yet.
    AwaitTools(Vec<Call>),
    /// Store this reply.
    Conclude(Box<Reply>),
    /// The reply is stored: send it out.
    Deliver(Box<Reply>),
    Done,
    /// Nobody has stored what the turn works from.
    NoContext,
}

/// Decides from the fold alone, so that whoever takes a turn over goes on where
/// the last one stopped.
pub fn decide(state: &TurnState, limits: &TurnLimits) -> Next {
    if state.finished {
        return Next::Done;
    }
    if let Some(reply) = &state.reply {
        return Next::Deliver(reply.clone());
    }
    let Some(context) = &state.context else { return Next::NoContext };
    if !state.stops.is_empty() {
        return conclude(state, context, ReplyKind::Stopped, with_done("Stopped.", state));
    }
    if state.interrupted.is_some() {
        return conclude(state, context, ReplyKind::Stopped, with_done("Stopped, for your next message.", state));
    }
    if state.idle_claims > limits.idle_claims {
        return Next::Conclude(Box::new(given_up(state, context)));
    }
    let Some(last) = state.steps.last() else {
        return Next::AskModel { step: 0, tier: context.tier, tools: Tools::Offered };
    };
    if let Some(fault) = &last.fault {
        return conclude(state, context, ReplyKind::Failed, with_done(&fault.told_user(), state));
    }
    let index = (state.steps.len() - 1) as u32;
    let Some(answer) = &last.answer else {
        // The step was begun and its answer lost: the question is put again.
        return ask(state, limits, index, last.tier);
    };
    if answer.calls.is_empty() || withheld(state, limits, index) {
        return match answer.text.trim() {
            "" => conclude(state, context, ReplyKind::Failed, with_done(&Fault::Transient.told_user(), state)),
            _ => conclude(state, context, ReplyKind::Answered, answer.text.clone()),
        };
    }
    if last.tier == Tier::Low {
        // A low model does not choose tools: the question goes to the next one.
        return ask(state, limits, index + 1, Tier::Mid);
    }
    if last.calls.is_empty() {
        return Next::Plan(plan(state, context, index, answer, limits));
    }
    let open: Vec<Call> = last.calls.iter().filter(|call| call.outcome.is_none()).cloned().collect();
    if !open.is_empty() {
        return Next::AwaitTools(open);
    }
    let unknown: Vec<&Call> = last.calls.iter().filter(|call| ended(call, OutcomeKind::Unknown)).collect();
    if !unknown.is_empty() {
        // Only the person can know, and only they may have it run again.
        return question(state, context, Question::Outcome, carry::question(&unknown));
    }
    let waiting: Vec<&Call> = last.calls.iter().filter(|call| ended(call, OutcomeKind::Unapproved)).collect();
    if !waiting.is_empty() {
        let text = approval::question(&waiting, is_tainted(state, context));
        return question(state, context, Question::Approval, text);
    }
    ask(state, limits, index + 1, last.tier)
}

/// The reply of a turn that goes round without getting on.
pub fn given_up(state: &TurnState, context: &TurnContext) -> Reply {
    let text = "I tried to answer several times and was interrupted each time, so I gave up. \
                Please send your message again.";
    reply(state, context, ReplyKind::Failed, with_done(text, state))
}

fn ask(state: &TurnState, limits: &TurnLimits, step: u32, tier: Tier) -> Next {
    let tools = if withheld(state, limits, step) { Tools::Withheld } else { Tools::Offered };
    Next::AskModel { step, tier, tools }
}

/// Whether the step with this index is the last one, which may not call tools.
/// Tools that ended are withheld from the steps after the one they ended in.
fn withheld(state: &TurnState, limits: &TurnLimits, step: u32) -> bool {
    let ended =
        state.tools_ended.is_some() && state.steps.get(step as usize).is_none_or(|known| known.calls.is_empty());
    ended || step >= limits.steps
}

/// What cannot be undone is said when a turn ends before its work does: the person must know, and so
/// must the model that reads this in the history, or it is done once more.
fn with_done(text: &str, state: &TurnState) -> String {
    let mut text = text.to_owned();
    for name in state.context.iter().flat_map(|context| &context.done) {
        text.push_str(&format!(" `{name}` had run already."));
    }
    for call in state.calls().filter(|call| call.effect == Effect::Once) {
        match call.outcome.as_ref().map(|outcome| outcome.kind) {
            Some(OutcomeKind::Succeeded) => text.push_str(&format!(" `{}` had run already.", call.name)),
            Some(OutcomeKind::Unknown) => text.push_str(&format!(" `{}` may or may not have happened.", call.name)),
            Some(OutcomeKind::Failed | OutcomeKind::Skipped | OutcomeKind::Unapproved) | None => {}
        }
    }
    text
}

/// The reply of a turn that is not taken up.
pub fn refusal(context: &TurnContext, text: &str) -> Reply {
    reply(&TurnState::default(), context, ReplyKind::Failed, text.to_owned())
}

fn ended(call: &Call, kind: OutcomeKind) -> bool {
    call.outcome.as_ref().is_some_and(|outcome| outcome.kind == kind)
}

/// Whether a call has run, or may have.
pub(crate) fn has_run(call: &Call) -> bool {
    ended(call, OutcomeKind::Succeeded) || ended(call, OutcomeKind::Unknown)
}

/// Whether a turn has read somebody else's words: from then on nothing consequential is
/// done unasked.
pub(crate) fn is_tainted(state: &TurnState, context: &TurnContext) -> bool {
    let has_read = |call: &Call| {
        let is_untrusted = context.tool(&call.name).is_some_and(|spec| spec.is_untrusted);
        is_untrusted && (ended(call, OutcomeKind::Succeeded) || ended(call, OutcomeKind::Failed))
    };
    context.is_tainted || state.calls().any(has_read)
}

fn question(state: &TurnState, context: &TurnContext, asks: Question, text: String) -> Next {
    let reply = reply(state, context, ReplyKind::Question, text);
    Next::Conclude(Box::new(Reply { asks: Some(asks), ..reply }))
}

fn conclude(state: &TurnState, context: &TurnContext, kind: ReplyKind, text: String) -> Next {
    Next::Conclude(Box::new(reply(state, context, kind, text)))
}

fn reply(state: &TurnState, context: &TurnContext, kind: ReplyKind, text: String) -> Reply {
    let mut answers = context.request.answers();
    // A stop ends all that came into the turn; an answer is one to what the model read.
    let ended = kind == ReplyKind::Stopped;
    let named = state.injected.iter().filter(|injected| ended || injected.step.is_some());
    answers.extend(named.map(|injected| injected.message.id.clone()));
    answers.extend(state.stops.iter().cloned());
    let ran = state.calls().filter(|call| {
        let kind = call.outcome.as_ref().map(|outcome| outcome.kind);
        kind.is_some_and(|kind| !matches!(kind, OutcomeKind::Skipped | OutcomeKind::Unapproved))
    });
    Reply {
        turn: context.request.turn,
        conversation: context.request.conversation.clone(),
        route: context.request.route.clone(),
        answers,
        kind,
        text,
        notices: notices(state, context),
        tier: state.steps.last().map_or(context.tier, |step| step.tier),
        usage: state.usage(),
        tool_calls: (ran.count() + context.done.len()) as u32,
        asks: None,
    }
}

/// What the person is told beside the answer.
fn notices(state: &TurnState, context: &TurnContext) -> Vec<String> {
    let mut notices = context.notices.clone();
    match state.steps.last().and_then(|step| step.answer.as_ref()).map(|answer| answer.ending) {
        Some(Ending::Cut) => notices.push("the answer was cut at the model's length limit".to_owned()),
        Some(Ending::Filtered) => notices.push("the provider's filter held the answer back".to_owned()),
        Some(Ending::Complete) | None => {}
    }
    notices
}

/// Turns the calls of an answer into entries. A call that cannot run gets its
/// outcome at once, so that the model reads why and the turn goes on.
fn plan(state: &TurnState, context: &TurnContext, step: u32, answer: &Answer, limits: &TurnLimits) -> Vec<Entry> {
    let mut entries = Vec::new();
    let found = guard::find_loop(state, &answer.calls);
    let is_tainted = is_tainted(state, context);
    let mut room = approval::Room::new();
    for (index, asked) in answer.calls.iter().enumerate() {
        let call = CallId { turn: context.request.turn, step, index: index as u32 };
        let spec = context.tool(&asked.name);
        entries.push(Entry::ToolIntended {
            call,
            vendor_id: asked.vendor_id.clone(),
            name: asked.name.clone(),
            arguments: asked.arguments.clone(),
            effect: spec.map_or(Effect::ReadOnly, |spec| spec.effect),
        });
        let refusal = if index >= limits.calls_per_step {
            Some(format!("not run: at most {} tool calls in one answer; ask again for the rest", limits.calls_per_step))
        } else if let Some(reason) = &found {
            Some(format!("not run: {reason}. Answer with what you have."))
        } else if spec.is_none_or(|spec| spec.consent == Consent::Barred) {
            Some(unknown_tool(asked, context))
        } else {
            malformed(asked)
        };
        let needs_word =
            spec.is_some_and(|spec| spec.consent == Consent::Asked || (is_tainted && spec.is_consequential()));
        let waits = || match room.take(&asked.arguments) {
            Ok(()) => Outcome { kind: OutcomeKind::Unapproved, text: WAITS.to_owned(), elapsed_ms: 0 },
            Err(why) => Outcome::failed(why),
        };
        if let Some(outcome) = refusal.map(Outcome::failed).or_else(|| needs_word.then(waits)) {
            entries.push(Entry::ToolFinished { call, outcome });
        }
    }
    if let Some(reason) = found {
        entries.push(Entry::ToolsEnded { reason });
    }
    entries
}

/// What stands in the journal for a call that waits for a person's word.
const WAITS: &str = "it waits for the person's word";

fn unknown_tool(asked: &ToolCall, context: &TurnContext) -> String {
    let usable = context.tools.iter().filter(|tool| tool.consent != Consent::Barred);
    let names: Vec<&str> = usable.map(|tool| tool.name.as_str()).take(40).collect();
    let name: String = asked.name.chars().take(80).collect();
    format!("there is no tool `{name}`; the tools are: {}", names.join(", "))
}

fn malformed(asked: &ToolCall) -> Option<String> {
    match serde_json::from_str::<serde_json::Value>(&asked.arguments) {
        Ok(serde_json::Value::Object(_)) => None,
        Ok(_) => Some("the arguments must be one JSON object".to_owned()),
        Err(fault) => Some(format!("the arguments are not valid JSON: {fault}")),
    }
}
