//! What models read of the tools by which sub-agents are begun and looked after.

use domain::tool::{Effect, Intent, Risk, ToolSpec};
use serde_json::{Value, json};

use super::LONGEST;
use crate::tools::{of_group, spec};

/// How long a call may take that waits for one, in milliseconds.
const TIMEOUT_MS: u64 = LONGEST.as_millis() as u64 + 30_000;
/// Longest task or instruction, in characters.
const TASK_CHARS: usize = 32 * 1024;

#[derive(Clone, Copy)]
pub(super) enum Doing {
    Spawn,
    List,
    Kill,
    Steer,
}

/// Each tool, with what it does.
pub(super) fn all() -> Vec<(ToolSpec, Doing)> {
    let tool = |name: &str, description: &str, effect, properties: Value, required: &[&str], doing| {
        let spec = of_group("agents", spec(name, description, effect, Risk::Safe, properties, required));
        // What it has read is anybody's words, and so is what it says.
        let spec = match doing {
            Doing::Spawn => ToolSpec { is_untrusted: true, intent: Intent::Write, timeout_ms: TIMEOUT_MS, ..spec },
            Doing::List => ToolSpec { is_untrusted: true, ..spec },
            Doing::Kill | Doing::Steer => spec,
        };
        (spec, doing)
    };
    let id = json!({"type": "string", "minLength": 1, "maxLength": 16, "description": "The sub-agent's id"});
    vec![
        tool(
            "subagent_spawn",
            "Has another agent do a part of the work, with the same tools and memory, but without this conversation: \
             say all that it needs. Gives what it found; several in one step work side by side, five at most.",
            Effect::Idempotent,
            json!({
                "task": {"type": "string", "minLength": 1, "maxLength": TASK_CHARS},
                "tier": {"type": "string", "enum": ["high", "mid", "low"], "description": "Which model; mid if left out"},
                "tool_subset": {"type": "array", "minItems": 1, "maxItems": 50, "items": {"type": "string", "minLength": 1, "maxLength": 100}, "description": "The tools that it may use, by name or group:<name>, with * for any text; all of the person's if left out"},
                "wait": {"type": "boolean", "description": "false: begin it, and look later with subagent_list"},
            }),
            &["task"],
            Doing::Spawn,
        ),
        tool(
            "subagent_list",
            "Lists the sub-agents of this conversation, with what they found.",
            Effect::ReadOnly,
            json!({}),
            &[],
            Doing::List,
        ),
        tool(
            "subagent_kill",
            "Stops a sub-agent, or `all`.",
            Effect::Idempotent,
            json!({"id": id}),
            &["id"],
            Doing::Kill,
        ),
        tool(
            "subagent_steer",
            "Tells a running sub-agent something, which it reads at its next step.",
            Effect::Idempotent,
            json!({"id": id, "instruction": {"type": "string", "minLength": 1, "maxLength": TASK_CHARS}}),
            &["id", "instruction"],
            Doing::Steer,
        ),
    ]
}
