//! What the model reads in a step: what the turn works from, then each step with its results.

use std::sync::Arc;

use super::{Tools, ended, room};
use crate::chat::{ChatMessage, ChatRequest};
use crate::guard::repetition;
use crate::journal::{Call, Injected, StepState, TurnState};
use crate::message::Audience;
use crate::tool::{Consent, Outcome, OutcomeKind, ToolSpec};
use crate::tool_search;
use crate::turn::TurnContext;
use crate::untrusted::wrapped;

/// All that the model is given in a step. The same fold gives the same request.
pub fn request(
    state: &TurnState,
    context: &TurnContext,
    step: u32,
    model: String,
    tool_use: Tools,
    max_tokens: u32,
) -> ChatRequest {
    ChatRequest {
        model,
        system: Arc::clone(&context.system),
        messages: messages(state, context, step, tool_use),
        tools: offered(state, context, step),
        tool_use,
        max_tokens,
    }
}

/// The tools that the model may call in a step: those of the start, and what it has found
/// in the steps before.
fn offered(state: &TurnState, context: &TurnContext, step: u32) -> Arc<[ToolSpec]> {
    with_found(context, &found(state, step))
}

/// Those of the start, and some that were found.
pub(crate) fn with_found(context: &TurnContext, found: &[&str]) -> Arc<[ToolSpec]> {
    let usable = |tool: &&ToolSpec| tool.consent != Consent::Barred;
    if found.is_empty() && context.tools.iter().all(|tool| usable(&tool)) {
        return Arc::clone(&context.tools);
    }
    let found = context.later.iter().filter(|tool| found.contains(&tool.name.as_str()));
    context.tools.iter().chain(found).filter(usable).cloned().collect()
}

/// The names of the tools that searches before a step have found, and that have a place still;
/// in the order in which they were found.
pub fn found(state: &TurnState, step: u32) -> Vec<&str> {
    let before = state.context.iter().flat_map(|context| &context.found).map(String::as_str);
    tool_search::after(before.collect(), (0..step).zip(&state.steps).map(|(_, step)| searched(&step.calls)))
}

/// What the searches among some calls have given.
fn searched(calls: &[Call]) -> Vec<&str> {
    let searches = calls.iter().filter(|call| call.name == tool_search::NAME && ended(call, OutcomeKind::Succeeded));
    searches.filter_map(|call| call.outcome.as_ref()).map(|outcome| outcome.text.as_str()).collect()
}

/// What the last step, which may not call tools, is told.
const LAST_STEP: &str = "You have used up the tool calls of this turn. Answer now with what you have found, \
                         and say what is still open.";

/// What the model reads in a step. The same fold gives the same messages.
pub fn messages(state: &TurnState, context: &TurnContext, step: u32, tools: Tools) -> Vec<ChatMessage> {
    let mut messages = context.messages.clone();
    let mut calls = Vec::new();
    for (index, known) in (0..step).zip(&state.steps) {
        messages.extend(injected(state, context, index, Some(index)));
        messages.extend(exchange(known, &mut calls, context));
    }
    // Steps of a turn that this one goes on from stand among what it began with.
    let of_steps = messages.iter().position(ChatMessage::is_of_a_step).unwrap_or(messages.len());
    room::fit(&mut messages[of_steps..], context.room);
    messages.extend(injected(state, context, step, Some(step)));
    messages.extend(injected(state, context, step, None));
    if tools == Tools::Withheld {
        messages.push(ChatMessage::user(LAST_STEP));
    }
    messages
}

/// The messages that came in just before a step, as the model reads them. In a
/// group it must know who speaks.
fn injected<'a>(
    state: &'a TurnState,
    context: &TurnContext,
    step: u32,
    at: Option<u32>,
) -> impl Iterator<Item = ChatMessage> + use<'a> {
    let group = context.request.route.audience == Audience::Group;
    let here =
        state.injected.iter().filter(move |injected| injected.step == at && injected.step.unwrap_or(step) == step);
    here.map(move |Injected { message, .. }| match group {
        true => ChatMessage::user(format!("[{}]: {}", message.speaker.name, message.text)),
        false => ChatMessage::user(message.text.clone()),
    })
}

/// What the model said in a step, and what came of its calls. `calls`: those before it; its own
/// are added.
fn exchange<'a>(step: &'a StepState, calls: &mut Vec<&'a Call>, context: &TurnContext) -> Vec<ChatMessage> {
    let Some(answer) = step.answer.as_ref().filter(|_| !step.calls.is_empty()) else { return Vec::new() };
    let mut messages = vec![ChatMessage::Assistant {
        text: answer.text.clone(),
        calls: answer.calls.clone(),
        signatures: answer.signatures.clone(),
    }];
    messages.extend(step.calls.iter().map(|call| {
        calls.push(call);
        let given = call.outcome.as_ref().map_or_else(
            || "no result".to_owned(),
            |outcome| {
                let is_untrusted = context.tool(&call.name).is_some_and(|spec| spec.is_untrusted);
                result_text(outcome, is_untrusted.then_some(call.name.as_str()))
            },
        );
        let text = match repetition(calls) {
            Some(warning) => format!("{given}\n\n{warning}"),
            None => given,
        };
        ChatMessage::ToolResult { vendor_id: call.vendor_id.clone(), text }
    }));
    messages
}

/// `source`: who gave it, when it may be anybody's words.
fn result_text(outcome: &Outcome, source: Option<&str>) -> String {
    let given = || source.map_or_else(|| outcome.text.clone(), |source| wrapped(source, &outcome.text));
    match outcome.kind {
        OutcomeKind::Succeeded => given(),
        OutcomeKind::Failed => format!("error: {}", given()),
        OutcomeKind::Unknown => format!(
            "unknown: {}. It may or may not have happened. Do not call it again unasked; tell the person.",
            outcome.text
        ),
        OutcomeKind::Skipped | OutcomeKind::Unapproved => format!("skipped: {}", outcome.text),
    }
}
