//! Journals, readable.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use bus::{JournalStore, Recorded, TurnSummary};
use domain::journal::{Entry, Record, TurnState};
use domain::message::without_controls;
use domain::turn::Reply;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use service_kit::settings::Settings;

use super::{attach, time};
use crate::cli::TurnCommand;

mod fork; // On from one step, elsewhere.
mod replay; // What the model was asked.
mod why; // What led to the answer.

/// Turns that are looked through, at most.
const TURNS: usize = 100_000;
/// Journals that are read at the same time.
const PARALLEL: usize = 16;
/// Longest text that a line shows, in characters.
const LINE: usize = 100;

pub(super) async fn run(settings: &Settings, what: TurnCommand, json: bool) -> anyhow::Result<ExitCode> {
    let journals = attach(settings).await?.journals().await?;
    let done = |()| ExitCode::SUCCESS;
    match what {
        TurnCommand::List { limit } => list(&journals, usize::try_from(limit)?, json).await.map(done),
        TurnCommand::Show { id } => show(&journals, &id, json).await.map(done),
        TurnCommand::Why { id } => why::run(&journals, &id, json).await.map(done),
        TurnCommand::Replay { id, step } => replay::run(&journals, &id, step, json).await,
        TurnCommand::Fork { id, at, model, timeout } => {
            fork::run(settings, &journals, &id, at, model, Duration::from_secs(timeout), json).await
        }
    }
}

async fn list(journals: &JournalStore, limit: usize, json: bool) -> anyhow::Result<()> {
    let read = stream::iter(journals.turns(TURNS).await?).map(|turn| Listed::read(journals, turn));
    let mut turns: Vec<Listed> = read.buffer_unordered(PARALLEL).try_collect().await?;
    turns.sort_by_key(|turn| std::cmp::Reverse(turn.begun_ms));
    if turns.is_empty() && !json {
        println!("There are no turns yet.");
    }
    for Listed { turn, begun_ms, asked, outcome, steps } in turns.into_iter().take(limit) {
        if json {
            println!(
                "{}",
                json!({
                    "turn": turn.turn.to_string(), "conversation": turn.conversation.to_string(), "begun_ms": begun_ms,
                    "asked": asked, "outcome": outcome, "steps": steps, "records": turn.records,
                })
            );
        } else {
            println!("{}  {}  {outcome:<9} {}", turn.turn, time(begun_ms), one_line(&asked));
        }
    }
    Ok(())
}

/// What a list shows of a turn: no more of its journal is kept.
struct Listed {
    turn: TurnSummary,
    begun_ms: i64,
    asked: String,
    outcome: String,
    steps: usize,
}

impl Listed {
    async fn read(journals: &JournalStore, turn: TurnSummary) -> anyhow::Result<Self> {
        let records = journals.records(&turn.conversation, turn.turn).await?;
        let begun_ms = records.first().map_or(0, |recorded| recorded.record.at_ms);
        let state = TurnState::fold(records.iter().map(|recorded| &recorded.record));
        let first = state.context.as_ref().and_then(|context| context.request.messages.first());
        let asked = first.map(|message| message.text.clone()).unwrap_or_default();
        let ended = |reply: &Reply| format!("{:?}", reply.kind).to_lowercase();
        let outcome = state.reply.as_deref().map_or("running".to_owned(), ended);
        Ok(Self { turn, begun_ms, asked, outcome, steps: state.steps.len() })
    }
}

/// The turn whose id begins so, with its journal.
async fn find(journals: &JournalStore, id: &str) -> anyhow::Result<(TurnSummary, Vec<Recorded>)> {
    let mut found: Vec<TurnSummary> = journals.turns(TURNS).await?;
    found.retain(|turn| turn.turn.to_string().starts_with(id));
    match found.len() {
        0 => bail!("there is no turn `{id}`; `clara turn list` names them"),
        1 => {}
        many => bail!("{many} turns begin with `{id}`; give more of the id"),
    }
    let turn = found.remove(0);
    let records = journals.records(&turn.conversation, turn.turn).await.context("read the journal")?;
    Ok((turn, records))
}

async fn show(journals: &JournalStore, id: &str, json: bool) -> anyhow::Result<()> {
    let (turn, records) = find(journals, id).await?;
    if !json {
        println!("turn {} of conversation {}", turn.turn, turn.conversation);
    }
    for Recorded { sequence, record, .. } in &records {
        for entry in &record.entries {
            if json {
                println!("{}", line_json(*sequence, record, entry));
            } else {
                println!("{}  {:>6}.{}  {}", time(record.at_ms), sequence, record.epoch, in_words(entry));
            }
        }
    }
    Ok(())
}

pub(super) fn one_line(text: &str) -> String {
    let line = without_controls(&text.replace('\n', " ⏎ "));
    match line.char_indices().nth(LINE) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

fn in_words(entry: &Entry) -> String {
    match entry {
        Entry::Claimed { replica, build, .. } => format!("claimed by {replica} (build {build})"),
        Entry::ContextFixed(context) => {
            let asked: Vec<String> = context.request.messages.iter().map(|message| one_line(&message.text)).collect();
            let notices =
                if context.notices.is_empty() { String::new() } else { format!("; {}", context.notices.join(", ")) };
            format!(
                "context: {} messages, {} tools, tier {}{notices}\n    asked: {}",
                context.messages.len(),
                context.tools.len(),
                context.tier.as_str(),
                asked.join(" | ")
            )
        }
        Entry::StepStarted { step, tier, model, request_hash, .. } => {
            format!(
                "step {step}: asks {model} ({}), request {}",
                tier.as_str(),
                &request_hash[..request_hash.len().min(12)]
            )
        }
        Entry::ModelAnswered { step, answer } => {
            let calls: Vec<String> = answer
                .calls
                .iter()
                .map(|call| format!("\n    calls {}({})", call.name, one_line(&call.arguments)))
                .collect();
            format!(
                "step {step}: answered, {} + {} tokens{}{}",
                answer.usage.input_tokens,
                answer.usage.output_tokens,
                if answer.text.is_empty() { String::new() } else { format!("\n    {}", one_line(&answer.text)) },
                calls.concat()
            )
        }
        Entry::ModelFailed { step, fault } => format!("step {step}: failed ({})", fault.as_str()),
        Entry::ToolIntended { call, name, effect, .. } => {
            format!("call {}.{}: intends {name} ({effect:?})", call.step, call.index)
        }
        Entry::ToolFinished { call, outcome } => {
            format!(
                "call {}.{}: {:?} in {} ms\n    {}",
                call.step,
                call.index,
                outcome.kind,
                outcome.elapsed_ms,
                one_line(&outcome.text)
            )
        }
        Entry::ToolsEnded { reason } => format!("no more tools: {reason}"),
        Entry::StopRequested { stop } => format!("stop requested by {stop}"),
        Entry::Injected { message } => format!("goes into the turn: {}", one_line(&message.text)),
        Entry::Interrupted { by } => format!("interrupted by {by}"),
        Entry::ReplyReady(reply) => format!("reply ready ({:?})\n    {}", reply.kind, one_line(&reply.text)),
        Entry::Finished => "finished".to_owned(),
    }
}

fn line_json(sequence: u64, record: &Record, entry: &Entry) -> Value {
    let (kind, data) = match entry {
        Entry::Claimed { replica, build, item } => {
            ("claimed", json!({"replica": replica, "build": build, "item": item}))
        }
        Entry::ContextFixed(context) => (
            "context_fixed",
            json!({
                "asked": context.request.messages.iter().map(|message| &message.text).collect::<Vec<_>>(),
                "system": context.system,
                "messages": context.messages.iter().map(|message| message.texts().concat()).collect::<Vec<_>>(),
                "tools": context.tools.iter().map(|tool| &tool.name).collect::<Vec<_>>(),
                "tier": context.tier.as_str(), "notices": context.notices,
            }),
        ),
        Entry::StepStarted { step, tier, model, request_hash, .. } => {
            ("step_started", json!({"step": step, "tier": tier.as_str(), "model": model, "request_hash": request_hash}))
        }
        Entry::ModelAnswered { step, answer } => (
            "model_answered",
            json!({
                "step": step, "text": answer.text, "input_tokens": answer.usage.input_tokens,
                "output_tokens": answer.usage.output_tokens,
                "calls": answer.calls.iter().map(|call| json!({"name": call.name, "arguments": call.arguments})).collect::<Vec<_>>(),
            }),
        ),
        Entry::ModelFailed { step, fault } => ("model_failed", json!({"step": step, "fault": fault.as_str()})),
        Entry::ToolIntended { call, name, arguments, effect, .. } => (
            "tool_intended",
            json!({"call": call.to_string(), "name": name, "arguments": arguments, "effect": format!("{effect:?}")}),
        ),
        Entry::ToolFinished { call, outcome } => (
            "tool_finished",
            json!({"call": call.to_string(), "outcome": format!("{:?}", outcome.kind), "text": outcome.text, "elapsed_ms": outcome.elapsed_ms}),
        ),
        Entry::ToolsEnded { reason } => ("tools_ended", json!({"reason": reason})),
        Entry::StopRequested { stop } => ("stop_requested", json!({"stop": stop.to_string()})),
        Entry::Injected { message } => ("injected", json!({"message": message.id.to_string(), "text": message.text})),
        Entry::Interrupted { by } => ("interrupted", json!({"by": by.to_string()})),
        Entry::ReplyReady(reply) => ("reply_ready", json!({"kind": format!("{:?}", reply.kind), "text": reply.text})),
        Entry::Finished => ("finished", json!({})),
    };
    json!({"sequence": sequence, "epoch": record.epoch, "at_ms": record.at_ms, "entry": kind, "data": data})
}
