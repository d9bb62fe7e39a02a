//! Remembering, recalling, forgetting: asked of the memory service.

mod specs; // What models read of them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, Endpoints, RequestError};
use domain::memory::{Asking, FactAnswer, FactCommand, FactRequest, Intention};
use domain::message::Audience;
use domain::tool::{Effect, ToolRequest, ToolSpec};
use serde_json::{Value, json};

use self::specs::Doing;
use super::text;
use crate::registry::{Ended, Tool};

/// How long the memory service may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an erasure may take, which goes through every store and stream.
const ERASING: Duration = Duration::from_secs(120);
/// Memories that one recall gives.
const RECALLED: u32 = 20;
/// Memories among which the public ones are looked for.
const LISTED: u32 = 200;

struct FactTool {
    spec: ToolSpec,
    doing: Doing,
    bus: Bus,
}

pub(super) fn all(bus: &Bus) -> Vec<Arc<dyn Tool>> {
    let tool = |(spec, doing)| Arc::new(FactTool { spec, doing, bus: bus.clone() }) as Arc<dyn Tool>;
    specs::all().into_iter().map(tool).collect()
}

#[async_trait]
impl Tool for FactTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, request: &ToolRequest, arguments: Value) -> Ended {
        match ask(&self.bus, request, self.command(request, &arguments), self.doing.patience()).await {
            Ok(answer) => Ended::Gave(self.told(&answer, &arguments)),
            Err(Unanswered::Lost(why)) if self.spec.effect == Effect::Once => Ended::MayHaveHappened(why),
            Err(Unanswered::Refused(why) | Unanswered::Lost(why)) => Ended::Failed(why),
        }
    }
}

/// Why there is no answer of the memory service, in words for the model.
pub(super) enum Unanswered {
    /// Nothing was done.
    Refused(String),
    /// It may have done what it was asked for.
    Lost(String),
}

impl From<Unanswered> for String {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Refused(why) | Unanswered::Lost(why) => why,
        }
    }
}

/// Asks the memory service for whoever speaks, in a direct conversation alone.
pub(super) async fn ask(
    bus: &Bus,
    request: &ToolRequest,
    command: FactCommand,
    patience: Duration,
) -> Result<FactAnswer, Unanswered> {
    if request.route.heard_by() == Audience::Group {
        return Err(Unanswered::Refused("memories are private: ask me in a direct conversation".to_owned()));
    }
    let (conversation, turn, after) = (request.conversation.clone(), request.call.turn, request.after);
    let asking = Some(Asking { conversation, turn, after });
    let asked = FactRequest { principal: request.principal.clone(), asking, command };
    bus.request(Endpoints::MemoryFacts, &asked, patience).await.map_err(|err| {
        let why = format!("memory unavailable: {err}");
        match err {
            RequestError::NobodyServes(_) | RequestError::Refused(_) => Unanswered::Refused(why),
            RequestError::TimedOut(_) | RequestError::Unavailable { .. } => Unanswered::Lost(why),
        }
    })
}

impl FactTool {
    fn command(&self, request: &ToolRequest, arguments: &Value) -> FactCommand {
        let id = || text(arguments, "id").trim().to_owned();
        match self.doing {
            Doing::Remember => FactCommand::Remember {
                id: request.call.to_string(),
                text: text(arguments, "text").to_owned(),
                is_key: false,
                project: String::new(),
            },
            Doing::Recall => match text(arguments, "query").trim() {
                "" => FactCommand::List { limit: RECALLED, before: None, project: String::new() },
                query => FactCommand::Search { query: query.to_owned(), limit: RECALLED },
            },
            Doing::Forget => FactCommand::Forget { which: text(arguments, "which").to_owned() },
            Doing::SetVisibility => {
                let is_public = Some(text(arguments, "visibility") == "public");
                FactCommand::Mark {
                    id: text(arguments, "memory_id").trim().to_owned(),
                    is_key: None,
                    is_public,
                    project: None,
                }
            }
            Doing::Remind => FactCommand::Intend {
                intention: Intention {
                    id: request.call.to_string(),
                    content: text(arguments, "content").to_owned(),
                    trigger: trigger(arguments).to_string(),
                    priority: 0,
                    fires_once: arguments["every_time"] != Value::Bool(true),
                    expires_at_ms: 0,
                },
            },
            Doing::Reminders => FactCommand::Intentions,
            Doing::Dismiss => FactCommand::Dismiss { id: id() },
            Doing::Undo => FactCommand::Undo { id: id() },
            Doing::Project => FactCommand::Enter {
                conversation: request.conversation.clone(),
                project: text(arguments, "name").to_owned(),
            },
            Doing::ListPublic => FactCommand::List { limit: LISTED, before: None, project: String::new() },
            Doing::One => match text(arguments, "action") {
                "edit" => FactCommand::Edit { id: id(), text: text(arguments, "text").to_owned() },
                "key" => FactCommand::Mark { id: id(), is_key: Some(true), is_public: None, project: None },
                "unkey" => FactCommand::Mark { id: id(), is_key: Some(false), is_public: None, project: None },
                _ => FactCommand::Show { id: id() },
            },
        }
    }

    /// What the model, and perhaps the person, reads.
    fn told(&self, answer: &FactAnswer, arguments: &Value) -> String {
        let facts: Vec<_> =
            answer.facts.iter().filter(|fact| !matches!(self.doing, Doing::ListPublic) || fact.is_public).collect();
        let list = || facts.iter().map(|fact| format!("- {}", fact.text)).collect::<Vec<_>>().join("\n");
        let listed =
            || facts.iter().map(|fact| format!("- {} ({})", fact.text, fact.id)).collect::<Vec<_>>().join("\n");
        match (self.doing, facts.len()) {
            (Doing::Remember, _) => {
                format!("I will remember: {}", facts.first().map_or("", |fact| fact.text.as_str()))
            }
            (Doing::Recall, 0) => "I remember nothing about that.".to_owned(),
            (Doing::Recall, _) => format!("I remember:\n\n{}", listed()),
            (Doing::Forget, 0) => "There was no such memory.".to_owned(),
            // What is forgotten is not said once more: the answer is kept.
            (Doing::Forget, count) => {
                let left: u64 = answer.proof.iter().map(|searched| searched.found).sum();
                let left =
                    if left == 0 { "nothing of it is left" } else { "some of its words stand in other messages" };
                let memories = if count == 1 { "1 memory".to_owned() } else { format!("{count} memories") };
                format!("Forgotten: {memories}, with what they came from; {left}.")
            }
            (Doing::ListPublic, 0) => "Groups may see none of your memories.".to_owned(),
            (Doing::ListPublic, _) => format!("Groups may see:\n\n{}", listed()),
            (Doing::Remind, _) => "I will remind you when it comes up.".to_owned(),
            (Doing::Reminders, _) if answer.intentions.is_empty() => "No reminder waits.".to_owned(),
            (Doing::Reminders, _) => {
                let lines = answer
                    .intentions
                    .iter()
                    .map(|waits| format!("- {} ({}): {}", waits.content, waits.id, waits.trigger));
                lines.collect::<Vec<_>>().join("\n")
            }
            (Doing::Dismiss, _) => "Dropped.".to_owned(),
            (Doing::Project, _) if answer.project.is_empty() => "This conversation is about no project now.".to_owned(),
            (Doing::Project, _) => format!("This conversation is about “{}” now.", answer.project),
            (Doing::Undo, _) => format!("As it was before:\n\n{}", list()),
            (Doing::SetVisibility, _) => format!("Changed:\n\n{}", list()),
            (Doing::One, _) => one(answer, text(arguments, "action")),
        }
    }
}

/// What fires a reminder, as the memory service reads it.
fn trigger(arguments: &Value) -> Value {
    match (&arguments["keywords"], text(arguments, "topic"), text(arguments, "at")) {
        (Value::Array(keywords), ..) if !keywords.is_empty() => json!({"type": "keyword", "keywords": keywords}),
        (_, topic, _) if !topic.is_empty() => json!({"type": "topic", "topic": topic}),
        (.., at) => json!({"type": "time", "at": at}),
    }
}

/// One memory as it was asked about.
fn one(answer: &FactAnswer, action: &str) -> String {
    let fact = answer.facts.first().map_or("", |fact| fact.text.as_str());
    let mut lines = vec![fact.to_owned()];
    if matches!(action, "show" | "why") {
        lines.extend(answer.sources.iter().map(|said| format!("- {} said: {}", said.speaker, said.text)));
        if answer.sources.is_empty() {
            lines.push("- no message is its source".to_owned());
        }
    }
    if matches!(action, "show" | "history") {
        let changes = answer.changes.iter();
        lines.extend(
            changes.map(|change| format!("- {} by {}: {} → {}", change.event, change.actor, change.old, change.new)),
        );
    }
    lines.join("\n")
}
