//! What Clara remembers of the person: asked of the memory service.

use std::process::ExitCode;
use std::time::Duration;

use bus::{Bus, Endpoints};
use domain::memory::{Fact, FactCommand, FactRequest, Passage, PassageRequest};
use domain::message::without_controls;
use serde_json::json;
use service_kit::settings::Settings;

use super::turn::one_line;
use super::{attach, person, time};
use crate::cli::MemoryCommand;

/// How long the memory service may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Finds what was said in the person's own conversations.
async fn search(bus: &Bus, settings: &Settings, query: String, limit: u32, json: bool) -> anyhow::Result<ExitCode> {
    let request = PassageRequest { principal: person(settings), group: None, query, limit };
    let found: Vec<Passage> = bus.request(Endpoints::MemoryPassages, &request, PATIENCE).await?;
    for Passage { id, speaker, text, at_ms } in &found {
        if json {
            println!("{}", json!({"id": id, "speaker": speaker, "text": text, "at_ms": at_ms}));
        } else {
            println!("{}  {}: {}", time(*at_ms), one_line(speaker), one_line(text));
        }
    }
    if found.is_empty() && !json {
        println!("Nothing was said yet.");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn run(settings: &Settings, what: MemoryCommand, json: bool) -> anyhow::Result<ExitCode> {
    let bus = attach(settings).await?;
    let (command, none, some) = match what {
        MemoryCommand::List { query, limit } => {
            let command = match query.join(" ") {
                query if query.is_empty() => FactCommand::List { limit },
                query => FactCommand::Search { query, limit },
            };
            let none = match command {
                FactCommand::Search { .. } => "Nothing that is remembered holds these words.",
                _ => "Nothing is remembered.",
            };
            (command, none, "")
        }
        MemoryCommand::Search { query, limit } => return search(&bus, settings, query.join(" "), limit, json).await,
        MemoryCommand::Remember { text } => {
            let id = uuid::Uuid::now_v7().to_string();
            (FactCommand::Remember { id, text: text.join(" ") }, "", "Remembered:")
        }
        MemoryCommand::Forget { which } => {
            (FactCommand::Forget { which: which.join(" ") }, "There was no such memory.", "Forgotten:")
        }
    };
    let forgets = matches!(command, FactCommand::Forget { .. });
    let request = FactRequest { principal: person(settings), command };
    let facts: Vec<Fact> = bus.request(Endpoints::MemoryFacts, &request, PATIENCE).await?;
    if json {
        for fact in &facts {
            println!("{}", json!({"id": fact.id, "text": fact.text, "created_at_ms": fact.created_at_ms}));
        }
    } else {
        match (facts.is_empty(), none, some) {
            (true, none, _) => println!("{none}"),
            (false, _, "") => {}
            (false, _, some) => println!("{some}"),
        }
        for fact in &facts {
            println!("{}  {}  {}", fact.id, time(fact.created_at_ms), without_controls(&fact.text));
        }
    }
    Ok(if forgets && facts.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
