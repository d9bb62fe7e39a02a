//! All memories of a person at once: counted, taken along, learnt from a text, erased.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::Bus;
use domain::memory::{FACTS, Fact, FactAnswer, FactCommand, from_line, to_line};
use domain::tool::{Effect, Risk, ToolRequest, ToolSpec};
use serde_json::{Value, json};

use super::{facts, of_group, spec, text};
use crate::registry::{Builtin, Tool};

/// How long the memory service may take, and the tool with it.
const PATIENCE: Duration = Duration::from_secs(120);
const TIMEOUT_MS: u64 = 130_000;
/// Memories of one page of an export.
const PAGE: u32 = 50;
/// Longest text to import or to learn from, in bytes.
const TEXT_BYTES: usize = 60_000;

#[derive(Clone, Copy)]
enum Doing {
    Stats,
    Export,
    Import,
    Bootstrap,
    Clear,
    Reindex,
}

struct MemoriesTool {
    spec: ToolSpec,
    doing: Doing,
    bus: Bus,
}

pub(super) fn all(bus: &Bus) -> Vec<Arc<dyn Tool>> {
    let tool = |name: &str, description: &str, effect, risk, properties, required: &[&str], doing| {
        let spec = of_group("memory", spec(name, description, effect, risk, properties, required));
        let spec = ToolSpec { timeout_ms: TIMEOUT_MS, ..spec };
        Arc::new(MemoriesTool { spec, doing, bus: bus.clone() }) as Arc<dyn Tool>
    };
    let (read, again) = (Effect::ReadOnly, Effect::Idempotent);
    let long = |description: &str| json!({"type": "string", "minLength": 1, "maxLength": TEXT_BYTES, "description": description});
    let before = json!({"type": "string", "maxLength": 64, "description": "Those older than the memory of this id"});
    let apply = json!({"type": "boolean", "description": "Store it; otherwise it is only shown"});
    vec![
        tool("memory_stats", "Counts what is remembered.", read, Risk::Safe, json!({}), &[], Doing::Stats),
        tool(
            "memory_export",
            "Gives memories as lines of JSON, the newest first, a page at a time.",
            read,
            Risk::Safe,
            json!({"before": before}),
            &[],
            Doing::Export,
        ),
        tool(
            "memory_import",
            "Stores memories from lines of JSON as memory_export gives them. What is known is left.",
            again,
            Risk::Safe,
            json!({"lines": long("A memory a line")}),
            &["lines"],
            Doing::Import,
        ),
        tool(
            "memory_bootstrap",
            "Learns from a text about the person, such as a profile: shows what it would remember, or stores it.",
            again,
            Risk::Safe,
            json!({"text": long("The text"), "apply": apply}),
            &["text"],
            Doing::Bootstrap,
        ),
        tool(
            "memory_clear",
            "Erases everything that is remembered of the person, for good: memories, conversations, and what was made \
             of them.",
            again,
            Risk::Dangerous,
            json!({}),
            &[],
            Doing::Clear,
        ),
        tool("memory_reindex", "Makes all vectors anew.", again, Risk::Safe, json!({}), &[], Doing::Reindex),
    ]
}

#[async_trait]
impl Builtin for MemoriesTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, request: &ToolRequest, arguments: Value) -> Result<String, String> {
        let answer = facts::ask(&self.bus, request, self.command(&arguments)?, PATIENCE).await?;
        Ok(self.told(&answer, &arguments))
    }
}

impl MemoriesTool {
    /// The error is for the model.
    fn command(&self, arguments: &Value) -> Result<FactCommand, String> {
        Ok(match self.doing {
            Doing::Stats => FactCommand::Stats,
            Doing::Export => {
                let before = Some(text(arguments, "before").trim().to_owned()).filter(|before| !before.is_empty());
                FactCommand::List { limit: PAGE, before, project: String::new() }
            }
            Doing::Import => FactCommand::Import { facts: lines(text(arguments, "lines"))? },
            Doing::Bootstrap => {
                let apply = arguments["apply"] == Value::Bool(true);
                FactCommand::Learn { text: text(arguments, "text").to_owned(), apply }
            }
            Doing::Clear => FactCommand::Clear,
            Doing::Reindex => FactCommand::Reindex,
        })
    }

    fn told(&self, answer: &FactAnswer, arguments: &Value) -> String {
        let counts = || {
            let lines = answer.counts.iter().map(|count| format!("- {}: {}", count.name, count.value));
            lines.collect::<Vec<_>>().join("\n")
        };
        match self.doing {
            Doing::Stats | Doing::Reindex => counts(),
            Doing::Export if answer.facts.is_empty() => "There are no more.".to_owned(),
            Doing::Export => answer.facts.iter().map(|fact| to_line(fact).to_string()).collect::<Vec<_>>().join("\n"),
            Doing::Import => format!("Imported:\n{}", counts()),
            Doing::Bootstrap => {
                let facts: Vec<String> = answer.facts.iter().map(|fact| format!("- {}", fact.text)).collect();
                match arguments["apply"] == Value::Bool(true) {
                    _ if facts.is_empty() => "It says nothing that I would remember.".to_owned(),
                    true => format!("I will remember:\n{}\n\n{}", facts.join("\n"), counts()),
                    false => format!("I would remember, and have stored nothing yet:\n{}", facts.join("\n")),
                }
            }
            Doing::Clear => match answer.proof.iter().map(|searched| searched.found).sum::<u64>() {
                0 => "Everything is erased; nothing of it is left.".to_owned(),
                left => format!("Everything is erased; {left} of its words stand elsewhere, and go with time."),
            },
        }
    }
}

/// The memories of lines, the oldest first, as they came to be.
fn lines(text: &str) -> Result<Vec<Fact>, String> {
    let mut facts = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if facts.len() == FACTS {
            return Err(format!("{FACTS} memories are the most at once; nothing was stored"));
        }
        facts.push(from_line(line).map_err(|why| format!("line {}: {why}; nothing was stored", number + 1))?);
    }
    facts.reverse();
    Ok(facts)
}
