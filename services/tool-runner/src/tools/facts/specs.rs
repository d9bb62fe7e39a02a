//! What models read of the tools by which they remember, recall and forget.

use std::time::Duration;

use domain::tool::{Effect, Risk, ToolSpec};
use serde_json::json;

use super::{ERASING, PATIENCE};
use crate::tools::{of_group, spec};

#[derive(Clone, Copy)]
pub(super) enum Doing {
    Remember,
    Recall,
    Forget,
    SetVisibility,
    ListPublic,
    /// Looks into one memory, or changes it.
    One,
    Undo,
    /// Which project the conversation is about.
    Project,
    Remind,
    Reminders,
    Dismiss,
}

impl Doing {
    pub(super) const fn patience(self) -> Duration {
        match self {
            Self::Forget => ERASING,
            _ => PATIENCE,
        }
    }
}

/// Each tool, with what it does.
pub(super) fn all() -> Vec<(ToolSpec, Doing)> {
    let tool = |spec: ToolSpec, doing: Doing| {
        // The memory service gives up before the runner does.
        let patience = u64::try_from((doing.patience() + PATIENCE).as_millis()).unwrap_or(u64::MAX);
        (ToolSpec { timeout_ms: spec.timeout_ms.max(patience), ..of_group("memory", spec) }, doing)
    };
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
        tool(
            spec(
                "memory_set_visibility",
                "Lets groups see a memory, or hides it from them. Memories are private until the person says otherwise.",
                Effect::Idempotent,
                Risk::Moderate,
                json!({"memory_id": string("The id that recall shows", 64), "visibility": {"type": "string", "enum": ["public", "private"]}}),
                &["memory_id", "visibility"],
            ),
            Doing::SetVisibility,
        ),
        tool(
            spec(
                "memory_list_public",
                "Lists the memories that groups may see.",
                Effect::ReadOnly,
                Risk::Safe,
                json!({}),
                &[],
            ),
            Doing::ListPublic,
        ),
        tool(
            spec(
                "memory",
                "Looks into one memory, or changes it: where it comes from (why), what became of it (history), \
                 another text (edit), whether it stands in every prompt (key, unkey).",
                Effect::Idempotent,
                Risk::Safe,
                json!({
                    "action": {"type": "string", "enum": ["show", "why", "history", "edit", "key", "unkey"]},
                    "id": string("The id that recall shows", 64),
                    "text": string("What it says from now on, for edit", 4000),
                }),
                &["action", "id"],
            ),
            Doing::One,
        ),
        tool(
            spec(
                "memory_undo",
                "Takes the newest edit, merge or replacement of a memory back, within 30 days.",
                // A second time takes the change before it back too.
                Effect::Once,
                Risk::Safe,
                json!({"id": string("The id that recall shows", 64)}),
                &["id"],
            ),
            Doing::Undo,
        ),
        tool(
            spec(
                "memory_project",
                "Says which project of the person this conversation is about: what they say here from now on is \
                 remembered with it, and what is remembered of it is at hand. Use it when they ask for it.",
                Effect::Idempotent,
                Risk::Safe,
                json!({"name": string("The project's name; empty for none", 80)}),
                &["name"],
            ),
            Doing::Project,
        ),
        tool(
            spec(
                "reminder_set",
                "Reminds the person of something when they speak of it again, or from a time on: they are told in the \
                 conversation that fires it, not before.",
                // The call's id is the reminder's id: again is the same.
                Effect::Idempotent,
                Risk::Safe,
                json!({
                    "content": {"type": "string", "minLength": 1, "maxLength": 1000, "description": "What of"},
                    "keywords": {"type": "array", "items": {"type": "string", "maxLength": 100}, "maxItems": 20, "description": "Words that fire it"},
                    "topic": string("A topic that fires it", 200),
                    "at": string("A time from which on it fires, such as 2027-01-31T09:00", 40),
                    "every_time": {"type": "boolean", "description": "Not once alone"},
                }),
                &["content"],
            ),
            Doing::Remind,
        ),
        tool(
            spec("reminder_list", "Lists the reminders that wait.", Effect::ReadOnly, Risk::Safe, json!({}), &[]),
            Doing::Reminders,
        ),
        tool(
            spec(
                "reminder_dismiss",
                "Drops a reminder.",
                Effect::Idempotent,
                Risk::Safe,
                json!({"id": string("The id that reminder_list shows", 100)}),
                &["id"],
            ),
            Doing::Dismiss,
        ),
    ]
}
