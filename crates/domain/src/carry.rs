//! What a new turn takes over from an old one: a person's word on a call whose
//! outcome nobody knows or that waits for it, or a fork from one of its steps.

use std::sync::Arc;

use crate::approval::Question;
use crate::chat::{Answer, ChatRequest, Usage};
use crate::decide::{self, Tools};
use crate::ids::{CallId, ConversationId, TurnId};
use crate::journal::{Call, Entry, StepState, TurnState};
use crate::policy::{Ruling, ruled};
use crate::tool::{Consent, Effect, Outcome, OutcomeKind, ToolSpec};
use crate::tool_search;
use crate::turn::TurnContext;

/// Names of what was done before that are kept, at most.
const DONE: usize = 50;

/// What a person says about a call: of one that may or may not have happened, or of one
/// that waits for their word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Choice {
    /// Run it again.
    Retry,
    /// It happened.
    Worked,
    /// Leave it.
    Skip,
    /// Run it, this once.
    Approve,
    /// Do not run it.
    Deny,
}

impl Choice {
    /// Reads a message that is nothing but an answer to this question.
    pub fn parse(text: &str, question: Question) -> Option<Self> {
        let plain = text.trim().trim_end_matches(['.', '!']).to_lowercase();
        let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
        match (question, plain.as_str()) {
            (Question::Outcome, "retry" | "try again" | "run it again") => Some(Self::Retry),
            (Question::Outcome, "it worked" | "it happened" | "worked") => Some(Self::Worked),
            (Question::Outcome, "skip" | "skip it" | "leave it") => Some(Self::Skip),
            (Question::Approval, "yes" | "y" | "approve" | "allow" | "allow it" | "yes please") => Some(Self::Approve),
            (Question::Approval, "no" | "n" | "deny" | "don't" | "do not" | "no thanks") => Some(Self::Deny),
            _ => None,
        }
    }

    /// The question that it answers.
    pub fn answers(self) -> Question {
        match self {
            Self::Retry | Self::Worked | Self::Skip => Question::Outcome,
            Self::Approve | Self::Deny => Question::Approval,
        }
    }

    /// What becomes of a call with this outcome; nothing when it runs.
    fn outcome(self, known: &Outcome) -> Option<Outcome> {
        let outcome = |kind, text: &str| Some(Outcome { kind, text: text.to_owned(), elapsed_ms: 0 });
        match (self, known.kind) {
            (Self::Retry, OutcomeKind::Unknown) | (Self::Approve, OutcomeKind::Unapproved) => None,
            (Self::Worked, OutcomeKind::Unknown) => outcome(OutcomeKind::Succeeded, "the person says that it happened"),
            (Self::Skip, OutcomeKind::Unknown) => {
                outcome(OutcomeKind::Skipped, "the person chose to leave it; it may have happened")
            }
            (Self::Deny, OutcomeKind::Unapproved) => outcome(OutcomeKind::Skipped, "the person said no"),
            _ => Some(known.clone()),
        }
    }
}

/// Where a turn goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub conversation: ConversationId,
    pub turn: TurnId,
    pub carry: Carry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carry {
    /// The last step, with the person's word on its unknown calls.
    Answered(Choice),
    /// All that this step was asked with.
    Fork { at: u32 },
}

/// The question that a turn ends with when a call's outcome is unknown.
pub(crate) fn question(unknown: &[&Call]) -> String {
    let mut names: Vec<&str> = unknown.iter().map(|call| call.name.as_str()).collect();
    names.dedup();
    format!(
        "I was interrupted while `{}` was running: it may or may not have happened. \
         Say \"retry\" to run it again, \"it worked\" if you know that it happened, or \"skip\" to leave it.",
        names.join("`, `")
    )
}

/// The first entries of a turn that goes on from `old`: what it works from, and
/// the steps that it need not take again. `None`: the old turn has no such step.
pub fn carry(old: &TurnState, fresh: &TurnContext, carry: Carry) -> Option<Vec<Entry>> {
    let known = old.context.as_deref()?;
    let mut context = TurnContext {
        request: fresh.request.clone(),
        notices: fresh.notices.clone(),
        rules: Vec::new(),
        // What it had read stands in the messages, and is no step of the new one.
        is_tainted: decide::is_tainted(old, known),
        ..known.clone()
    };
    let before = match carry {
        Carry::Fork { at } => at,
        Carry::Answered(_) => u32::try_from(old.steps.len().checked_sub(1)?).ok()?,
    };
    // What it had found, too, is no step of the new one.
    context.found = decide::found(old, before).into_iter().map(str::to_owned).collect();
    let now = |tool: &ToolSpec| as_of_now(tool, fresh);
    context.tools = context.tools.iter().map(now).collect();
    context.later = context.later.iter().map(now).collect();
    // What the steps before the one that is taken over have done stays done; a fork does it elsewhere.
    let of_steps = old.steps.iter().take(before as usize).flat_map(|step| &step.calls);
    let once = of_steps.filter(|call| call.effect == Effect::Once && decide::has_run(call));
    if let Carry::Answered(_) = carry {
        context.done.extend(once.map(|call| call.name.clone()));
        let excess = context.done.len().saturating_sub(DONE);
        context.done.drain(..excess);
    }
    let turn = context.request.turn;
    match carry {
        Carry::Fork { at } => {
            old.steps.get(at as usize)?;
            // All that the step was asked with, as the history of a first step.
            context.messages = decide::messages(old, known, at, Tools::Offered);
            Some(vec![Entry::ContextFixed(Arc::new(context))])
        }
        Carry::Answered(choice) => {
            let index = old.steps.len().checked_sub(1)?;
            let step = old.steps.get(index)?;
            // What the old turn found before stands in front of the question.
            context.messages = decide::messages(old, known, index as u32, Tools::Offered);
            let asked = ChatRequest {
                model: step.model.clone(),
                system: Arc::clone(&context.system),
                messages: context.messages.clone(),
                tools: decide::with_found(&context, &decide::found(old, before)),
                tool_use: step.tools,
                max_tokens: step.max_tokens,
            };
            let hash = asked.hash();
            let may_run = |name: &str| context.tool(name).is_none_or(|tool| tool.consent != Consent::Barred);
            let step = step_entries(turn, step, hash, choice, &may_run)?;
            Some([vec![Entry::ContextFixed(Arc::new(context))], step].concat())
        }
    }
}

/// A tool of the old turn as the policy and the mode of now have it.
fn as_of_now(tool: &ToolSpec, fresh: &TurnContext) -> ToolSpec {
    if tool.name == tool_search::NAME {
        return tool.clone();
    }
    let consent = match ruled(&fresh.rules, fresh.request.asks(), tool) {
        Ruling::Deny => Consent::Barred,
        Ruling::Ask => Consent::Asked,
        // What the turn could not do by itself, it cannot do because it goes on.
        Ruling::Allow => tool.consent,
    };
    ToolSpec { consent, ..tool.clone() }
}

/// The step of another turn as the first one of this, with the person's word on
/// its unknown calls.
fn step_entries(
    turn: TurnId,
    step: &StepState,
    request_hash: String,
    choice: Choice,
    may_run: &dyn Fn(&str) -> bool,
) -> Option<Vec<Entry>> {
    let answer = step.answer.as_ref()?;
    let mut entries = vec![
        Entry::StepStarted {
            step: 0,
            tier: step.tier,
            model: step.model.clone(),
            request_hash,
            tools: step.tools,
            max_tokens: step.max_tokens,
        },
        // Its tokens were counted where it was asked.
        Entry::ModelAnswered { step: 0, answer: Answer { usage: Usage::default(), ..answer.clone() } },
    ];
    for call in &step.calls {
        let id = CallId { turn, step: 0, index: call.id.index };
        entries.push(Entry::ToolIntended {
            call: id,
            vendor_id: call.vendor_id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            effect: call.effect,
        });
        // A turn that asked has an outcome for every call.
        let known = call.outcome.as_ref()?;
        let barred = || (!may_run(&call.name)).then(|| Outcome::failed("not run: it may not be used any more"));
        let outcome = choice.outcome(known).or_else(barred);
        entries.extend(outcome.map(|outcome| Entry::ToolFinished { call: id, outcome }));
    }
    Some(entries)
}
