//! What led to an answer: the prompt's parts, the memories, the tools.

use bus::JournalStore;
use domain::chat::ChatMessage;
use domain::journal::TurnState;
use domain::message::without_controls;
use serde_json::{Value, json};

use super::{find, one_line};

pub(super) async fn run(journals: &JournalStore, id: &str, json: bool) -> anyhow::Result<()> {
    let (turn, records) = find(journals, id).await?;
    let state = TurnState::fold(records.iter().map(|recorded| &recorded.record));
    let Some(context) = state.context.as_deref() else {
        anyhow::bail!("turn {} has not begun: nobody has stored what it works from", turn.turn)
    };
    let asked = context.request.messages.iter().chain(state.injected.iter().map(|injected| &injected.message));
    let history = context.messages.len().saturating_sub(context.request.messages.len());
    if json {
        println!(
            "{}",
            json!({
                "turn": turn.turn.to_string(),
                "asked": asked.map(|message| json!({"id": message.id.to_string(), "by": message.speaker.user, "text": message.text})).collect::<Vec<_>>(),
                "origin": context.request.origin.as_ref().map(|origin| origin.turn.to_string()),
                "system": context.system, "history": history,
                "memories": context.recalled.iter().map(|fact| json!({"id": fact.id, "text": fact.text})).collect::<Vec<_>>(),
                "passages": context.passages.iter().map(|passage| json!({"id": passage.id, "speaker": passage.speaker, "text": passage.text, "at_ms": passage.at_ms})).collect::<Vec<_>>(),
                "tools_offered": context.tools.iter().map(|tool| &tool.name).collect::<Vec<_>>(),
                "notices": context.notices,
                "steps": state.steps.iter().map(|step| json!({"model": step.model, "tier": step.tier.as_str(), "request_hash": step.request_hash})).collect::<Vec<_>>(),
                "calls": calls(&state),
                "answer": state.reply.as_ref().map(|reply| &reply.text),
            })
        );
        return Ok(());
    }
    println!("Asked:");
    asked.for_each(|message| {
        println!("  {} ({}): {}", message.speaker.name, message.speaker.user, one_line(&message.text))
    });
    if let Some(origin) = &context.request.origin {
        println!("Goes on from turn {}.", origin.turn);
    }
    println!("Memories in the prompt: {}", context.recalled.len());
    context.recalled.iter().for_each(|fact| println!("  {}  {}", fact.id, one_line(&fact.text)));
    println!("From earlier conversations: {}", context.passages.len());
    for passage in &context.passages {
        println!("  {}  {}: {}", passage.id, one_line(&passage.speaker), one_line(&passage.text));
    }
    println!("History in the prompt: {history} messages");
    context.messages.iter().take(history).for_each(|message| println!("  {}", in_words(message)));
    println!("System prompt:");
    without_controls(&context.system).lines().for_each(|line| println!("  {line}"));
    let offered: Vec<&str> = context.tools.iter().map(|tool| tool.name.as_str()).collect();
    println!("Tools offered: {}", offered.join(", "));
    println!("Tools called: {}", state.calls().count());
    for call in state.calls() {
        let outcome = call
            .outcome
            .as_ref()
            .map_or("no result yet".to_owned(), |outcome| format!("{:?}: {}", outcome.kind, one_line(&outcome.text)));
        println!("  {}({}) → {outcome}", call.name, one_line(&call.arguments));
    }
    for (index, step) in state.steps.iter().enumerate() {
        println!("Step {index}: {} at tier {}, request {}", step.model, step.tier.as_str(), step.request_hash);
    }
    if !context.notices.is_empty() {
        println!("Told beside the answer: {}", context.notices.join(", "));
    }
    if let Some(reply) = &state.reply {
        println!("Answer ({:?}):", reply.kind);
        without_controls(&reply.text).lines().for_each(|line| println!("  {line}"));
    }
    Ok(())
}

fn in_words(message: &ChatMessage) -> String {
    match message {
        ChatMessage::User { text, .. } => format!("person: {}", one_line(text)),
        ChatMessage::Assistant { text, .. } => format!("Clara: {}", one_line(text)),
        ChatMessage::ToolResult { text, .. } => format!("tool: {}", one_line(text)),
    }
}

fn calls(state: &TurnState) -> Vec<Value> {
    state
        .calls()
        .map(|call| {
            json!({
                "name": call.name, "arguments": call.arguments,
                "outcome": call.outcome.as_ref().map(|outcome| format!("{:?}", outcome.kind)),
                "result": call.outcome.as_ref().map(|outcome| &outcome.text),
            })
        })
        .collect()
}
