//! Remembering, recalling, forgetting: asked of the memory service.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, Endpoints};
use domain::memory::{Fact, FactCommand, FactRequest};
use domain::message::Audience;
use domain::tool::{Effect, Risk, ToolRequest, ToolSpec};
use serde_json::{Value, json};

use super::{spec, text};
use crate::registry::Tool;

/// How long the memory service may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Memories that one recall gives.
const RECALLED: u32 = 20;

enum Doing {
    Remember,
    Recall,
    Forget,
}

struct FactTool {
    spec: ToolSpec,
    doing: Doing,
    bus: Bus,
}

pub(super) fn all(bus: &Bus) -> Vec<Arc<dyn Tool>> {
    let tool = |spec, doing| Arc::new(FactTool { spec, doing, bus: bus.clone() }) as Arc<dyn Tool>;
    let string = |description: &str, max: usize| json!({"type": "string", "minLength": 0, "maxLength": max, "description": description});
    vec![
        tool(
            spec(
                "remember",
                "Remembers something about the person for later conversations. Use it when they ask you to remember, \
                 or tell you something that will matter again.",
                // The call's id is the memory's id: again is the same.
                Effect::Idempotent,
                Risk::Safe,
                json!({"text": {"type": "string", "minLength": 1, "maxLength": 4000, "description": "One fact, in a full sentence"}}),
                &["text"],
            ),
            Doing::Remember,
        ),
        tool(
            spec(
                "recall",
                "Searches what the person asked you to remember.",
                Effect::ReadOnly,
                Risk::Safe,
                json!({"query": string("Words to look for; empty lists the newest", 1000)}),
                &["query"],
            ),
            Doing::Recall,
        ),
        tool(
            spec(
                "forget",
                "Forgets memories for good: the one with this id, or all that hold these words.",
                Effect::Idempotent,
                Risk::Moderate,
                json!({"which": {"type": "string", "minLength": 1, "maxLength": 1000, "description": "An id, or words"}}),
                &["which"],
            ),
            Doing::Forget,
        ),
    ]
}

#[async_trait]
impl Tool for FactTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, request: &ToolRequest, arguments: Value) -> Result<String, String> {
        if request.audience == Audience::Group {
            return Err("memories are private: ask me in a direct conversation".to_owned());
        }
        let command = match self.doing {
            Doing::Remember => {
                FactCommand::Remember { id: request.call.to_string(), text: text(&arguments, "text").to_owned() }
            }
            Doing::Recall => match text(&arguments, "query").trim() {
                "" => FactCommand::List { limit: RECALLED },
                query => FactCommand::Search { query: query.to_owned(), limit: RECALLED },
            },
            Doing::Forget => FactCommand::Forget { which: text(&arguments, "which").to_owned() },
        };
        let asked = FactRequest { principal: request.principal.clone(), command };
        let facts: Vec<Fact> = self
            .bus
            .request(Endpoints::MemoryFacts, &asked, PATIENCE)
            .await
            .map_err(|err| format!("memory unavailable: {err}"))?;
        let list = || facts.iter().map(|fact| format!("- {}", fact.text)).collect::<Vec<_>>().join("\n");
        Ok(match (&self.doing, facts.len()) {
            (Doing::Remember, _) => format!("I will remember: {}", facts.first().map_or("", |fact| fact.text.as_str())),
            (Doing::Recall, 0) => "I remember nothing about that.".to_owned(),
            (Doing::Recall, _) => format!("I remember:\n\n{}", list()),
            (Doing::Forget, 0) => "There was no such memory.".to_owned(),
            (Doing::Forget, _) => format!("Forgotten:\n\n{}", list()),
        })
    }
}
