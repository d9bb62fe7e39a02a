//! What the model was asked, rebuilt from the journal and compared.

use std::process::ExitCode;

use bus::JournalStore;
use domain::chat::ChatMessage;
use domain::decide::Tools;
use domain::message::without_controls;
use domain::replay::{Asked, questions};
use serde_json::{Value, json};

use super::find;

pub(super) async fn run(journals: &JournalStore, id: &str, step: Option<u32>, json: bool) -> anyhow::Result<ExitCode> {
    let (turn, records) = find(journals, id).await?;
    let records: Vec<_> = records.into_iter().map(|recorded| recorded.record).collect();
    let mut asked = questions(&records);
    asked.retain(|asked| step.is_none_or(|step| asked.step == step));
    if asked.is_empty() && !json {
        println!(
            "Turn {} has asked the model nothing{}.",
            turn.turn,
            if step.is_some() { " in this step" } else { "" }
        );
    }
    for question in &asked {
        match json {
            true => println!("{}", to_json(question)),
            false => print(question),
        }
    }
    let exact = asked.iter().all(Asked::is_exact);
    if !exact {
        eprintln!("clara: a rebuilt request is not the one that was recorded; the journal or this build is wrong");
    }
    Ok(if exact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(asked: &Asked) {
    let verdict = if asked.is_exact() { "the same as recorded" } else { "NOT WHAT WAS RECORDED" };
    println!(
        "step {} (claim {}): {} at tier {}, at most {} tokens, {} tools {}",
        asked.step,
        asked.epoch,
        asked.request.model,
        asked.tier.as_str(),
        asked.request.max_tokens,
        asked.request.tools.len(),
        tool_use(asked.request.tool_use)
    );
    println!("  hash {}: {verdict}", asked.rebuilt_hash);
    print_part("system", &asked.request.system);
    for message in &asked.request.messages {
        match message {
            ChatMessage::User { text, images } => {
                print_part("user", text);
                images.iter().for_each(|image| println!("    (image {})", image.file));
            }
            ChatMessage::Assistant { text, calls, .. } => {
                print_part("assistant", text);
                calls.iter().for_each(|call| print_part("  calls", &format!("{}({})", call.name, call.arguments)));
            }
            ChatMessage::ToolResult { text, .. } => print_part("result", text),
        }
    }
    println!();
}

fn print_part(role: &str, text: &str) {
    println!("  [{role}]");
    without_controls(text).lines().for_each(|line| println!("    {line}"));
}

fn tool_use(tools: Tools) -> &'static str {
    match tools {
        Tools::Offered => "offered",
        Tools::Withheld => "withheld",
    }
}

fn to_json(asked: &Asked) -> Value {
    let messages: Vec<Value> = asked
        .request
        .messages
        .iter()
        .map(|message| match message {
            ChatMessage::User { text, images } if images.is_empty() => json!({"role": "user", "text": text}),
            ChatMessage::User { text, images } => json!({
                "role": "user", "text": text,
                "images": images.iter().map(|image| image.file.as_str()).collect::<Vec<_>>(),
            }),
            ChatMessage::Assistant { text, calls, .. } => json!({
                "role": "assistant", "text": text,
                "calls": calls.iter().map(|call| json!({"name": call.name, "arguments": call.arguments})).collect::<Vec<_>>(),
            }),
            ChatMessage::ToolResult { text, .. } => json!({"role": "tool", "text": text}),
        })
        .collect();
    json!({
        "step": asked.step, "epoch": asked.epoch, "model": asked.request.model, "tier": asked.tier.as_str(),
        "max_tokens": asked.request.max_tokens, "system": asked.request.system, "messages": messages,
        "tools": asked.request.tools.iter().map(|tool| &tool.name).collect::<Vec<_>>(), "tool_use": tool_use(asked.request.tool_use),
        "recorded_hash": asked.recorded_hash, "rebuilt_hash": asked.rebuilt_hash, "exact": asked.is_exact(),
    })
}
