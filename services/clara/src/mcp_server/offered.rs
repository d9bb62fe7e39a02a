//! What Clara offers, as clients of MCP read it.

use rmcp::model::{Prompt, PromptArgument, Resource, ResourceTemplate, Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

pub(super) const INSTRUCTIONS: &str = "Clara is somebody's personal assistant, who remembers them. `chat` talks with \
                                       her; the other tools look into and change what she remembers.";
/// All memories.
pub(super) const MEMORIES: &str = "clara://memories";
/// Before the id of one memory.
pub(super) const MEMORY: &str = "clara://memories/";
pub(super) const ABOUT: &str = "about_me";
pub(super) const WITH_MEMORIES: &str = "with_memories";

fn schema(properties: Value, required: &[&str]) -> Map<String, Value> {
    let schema =
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    schema.as_object().cloned().unwrap_or_default()
}

pub(super) fn tools() -> Vec<Tool> {
    let text = |description: &str| json!({"type": "string", "minLength": 1, "description": description});
    let tool = |name: &'static str, description: &'static str, properties, required: &[&str], reads, destroys| {
        let mut hints = ToolAnnotations::new();
        hints.read_only_hint = Some(reads);
        hints.destructive_hint = Some(destroys);
        hints.open_world_hint = Some(name == "chat");
        Tool::new(name, description, schema(properties, required)).with_annotations(hints)
    };
    vec![
        tool(
            "chat",
            "Says something to Clara and gives her answer. She may ask before she does something: that the \
             person answers, with `clara approval`.",
            json!({
                "message": text("What to say"),
                "conversation": {"type": "string", "minLength": 1, "maxLength": 100, "description": "Which of the person's conversations; `mcp` if left out"},
            }),
            &["message"],
            false,
            false,
        ),
        tool(
            "remember",
            "Has Clara remember one fact about the person.",
            json!({"text": text("The fact, such as: my bicycle is green")}),
            &["text"],
            false,
            false,
        ),
        tool(
            "search_memories",
            "Finds what Clara remembers of the person that fits a question, and what was said that fits it.",
            json!({
                "query": text("A question, or words"),
                "limit": {"type": "integer", "minimum": 1, "maximum": 50, "description": "How many of each; 10 if left out"},
            }),
            &["query"],
            true,
            false,
        ),
        tool(
            "list_memories",
            "Lists what Clara remembers of the person, newest first, each with its id.",
            json!({"limit": {"type": "integer", "minimum": 1, "maximum": 200, "description": "How many; 50 if left out"}}),
            &[],
            true,
            false,
        ),
        tool(
            "forget",
            "Erases one memory for good, with what it comes from. It cannot be taken back.",
            json!({"id": text("The memory's id, as list_memories shows it")}),
            &["id"],
            false,
            true,
        ),
    ]
}

pub(super) fn resources() -> Vec<Resource> {
    vec![
        Resource::new(MEMORIES, "memories")
            .with_description("All that Clara remembers of the person, newest first.")
            .with_mime_type("text/plain"),
    ]
}

pub(super) fn templates() -> Vec<ResourceTemplate> {
    vec![
        ResourceTemplate::new(format!("{MEMORY}{{id}}"), "memory")
            .with_description("One memory: where it comes from, and what became of it.")
            .with_mime_type("text/plain"),
    ]
}

pub(super) fn prompts() -> Vec<Prompt> {
    let question = PromptArgument::new("question").with_description("What is asked").with_required(true);
    vec![
        Prompt::new(ABOUT, Some("What Clara remembers of the person, for a model to know."), None),
        Prompt::new(WITH_MEMORIES, Some("A question with what Clara remembers that fits it."), Some(vec![question])),
    ]
}
