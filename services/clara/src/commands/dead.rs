//! Dead letters: messages that nobody could handle.

use std::process::ExitCode;

use bus::DeadLetter;
use domain::message::without_controls;
use serde_json::{Value, json};
use service_kit::settings::Settings;

use super::{attach, time};
use crate::cli::DeadCommand;

/// Bytes of a payload that are shown.
const SHOWN: usize = 2000;

pub(super) async fn run(settings: &Settings, what: DeadCommand, json: bool) -> anyhow::Result<ExitCode> {
    let bus = attach(settings).await?;
    match what {
        DeadCommand::List { limit } => {
            let letters = bus.dead_letters(usize::try_from(limit)?).await?;
            if letters.is_empty() && !json {
                println!("There are no dead letters.");
            }
            for letter in letters {
                match json {
                    true => println!("{}", to_json(&letter)),
                    false => println!(
                        "{:>6}  {}  {:<14} {}",
                        letter.sequence,
                        time(letter.at_ms),
                        letter.consumer,
                        without_controls(&letter.reason)
                    ),
                }
            }
        }
        DeadCommand::Show { number } => {
            let letter = bus.dead_letter(number).await?;
            // Protobuf is no text; what is readable in it helps all the same.
            let bytes = &letter.payload[..letter.payload.len().min(SHOWN)];
            let text = without_controls(&String::from_utf8_lossy(bytes));
            if json {
                let mut value = to_json(&letter);
                value["text"] = text.into();
                println!("{value}");
            } else {
                println!("put aside  {} by {}", time(letter.at_ms), letter.consumer);
                println!("reason     {}", without_controls(&letter.reason));
                println!("was going  to {} as {}", letter.subject, letter.id);
                println!("{} bytes:\n{text}", letter.payload.len());
            }
        }
        DeadCommand::Replay { number } => {
            let letter = bus.replay_dead_letter(number).await?;
            report(json, "replayed", &letter.sequence, "Published again:");
        }
        DeadCommand::Drop { number } => {
            bus.drop_dead_letter(number).await?;
            report(json, "dropped", &number, "Dropped:");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn to_json(letter: &DeadLetter) -> Value {
    json!({
        "number": letter.sequence, "at_ms": letter.at_ms, "consumer": letter.consumer, "reason": letter.reason,
        "subject": letter.subject, "id": letter.id, "bytes": letter.payload.len(),
    })
}

fn report(as_json: bool, done: &str, number: &u64, words: &str) {
    match as_json {
        true => println!("{}", json!({ done: number })),
        false => println!("{words} dead letter {number}."),
    }
}
