//! A turn that goes on from one step of another, in a conversation of its own.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use bus::JournalStore;
use dissimilar::Chunk;
use domain::carry::{Carry, Origin};
use domain::journal::TurnState;
use domain::message::without_controls;
use domain::turn::{Reply, ReplyKind};
use proto::terminal::Saying;
use serde_json::json;
use service_kit::settings::Settings;

use super::find;
use crate::chat::client::{Client, Seen, Spoken};
use crate::commands::{person, running};

pub(super) async fn run(
    settings: &Settings,
    journals: &JournalStore,
    id: &str,
    at: u32,
    model: Option<String>,
    timeout: Duration,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let (turn, records) = find(journals, id).await?;
    let old = TurnState::fold(records.iter().map(|recorded| &recorded.record));
    if at as usize >= old.steps.len() {
        bail!("turn {} has {} steps, counted from 0; there is no step {at}", turn.turn, old.steps.len());
    }
    let channel = format!("fork-{}", uuid::Uuid::now_v7().simple());
    let mut client = Client::open(&running(settings)?, person(settings), channel, None).await?;
    let origin = Origin { conversation: turn.conversation.clone(), turn: turn.turn, carry: Carry::Fork { at } };
    let message = match client.say(Saying::Fork { origin, model }).await? {
        Spoken::Accepted(message) => message,
        Spoken::Refused(because) => bail!("the fork was refused: {because}"),
    };
    let fork = client.turn_of(&message);
    if !json {
        eprintln!("forking step {at} of {} as turn {fork} …", turn.turn);
    }
    let waited = tokio::time::timeout(timeout, async {
        loop {
            if let Seen::Reply(reply) = client.next().await?
                && reply.answers.contains(&message)
            {
                return anyhow::Ok(reply);
            }
        }
    });
    let late = || format!("no reply within {timeout:?}; it will still come: `clara turn show {fork}`");
    let reply = waited.await.with_context(late)??;
    let new = journals.read(&client.conversation, fork).await.context("read the fork's journal")?;
    show(&old, new.state(), &reply, json);
    Ok(if reply.kind == ReplyKind::Failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show(old: &TurnState, new: &TurnState, reply: &Reply, json: bool) {
    let before = old.reply.as_ref().map_or("", |reply| reply.text.as_str());
    let models = |state: &TurnState| state.steps.iter().map(|step| step.model.clone()).collect::<Vec<_>>();
    let calls =
        |state: &TurnState| state.calls().map(|call| format!("{}({})", call.name, call.arguments)).collect::<Vec<_>>();
    if json {
        println!(
            "{}",
            json!({
                "turn": reply.turn.to_string(), "kind": format!("{:?}", reply.kind).to_lowercase(),
                "same": before == reply.text,
                "before": {"text": before, "models": models(old), "calls": calls(old)},
                "after": {"text": reply.text, "models": models(new), "calls": calls(new)},
            })
        );
        return;
    }
    for (what, before, after) in [("models", models(old), models(new)), ("calls", calls(old), calls(new))] {
        if before == after {
            println!("{what}: the same ({})", before.join(", "));
        } else {
            println!("{what}: {} → {}", before.join(", "), after.join(", "));
        }
    }
    if before == reply.text {
        println!("answer: the same\n  {}", without_controls(before));
        return;
    }
    // As wdiff(1) marks words.
    let marked: String = dissimilar::diff(before, &reply.text)
        .into_iter()
        .map(|chunk| match chunk {
            Chunk::Equal(text) => text.to_owned(),
            Chunk::Delete(text) => format!("[-{text}-]"),
            Chunk::Insert(text) => format!("{{+{text}+}}"),
        })
        .collect();
    println!("answer, [-before-] and {{+after+}}:");
    without_controls(&marked).lines().for_each(|line| println!("  {line}"));
}
