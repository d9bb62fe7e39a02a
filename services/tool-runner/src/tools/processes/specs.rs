//! The tools for processes in the background, as models read of them.

use domain::tool::{Effect, Intent, Risk, ToolClass, ToolSpec};
use serde_json::json;

use super::MOST_LINES;
use crate::tools::sandbox::Place;
use crate::tools::{of_group, spec};

#[derive(Clone, Copy)]
pub(super) enum Doing {
    Start,
    Status,
    Output,
    Stop,
    List,
}

pub(super) fn all(place: &Place) -> Vec<(ToolSpec, Doing)> {
    let reaches = !place.hosts.is_empty();
    let tool = |spec: ToolSpec, doing| {
        let intent = match doing {
            Doing::Start if reaches => Intent::Network,
            Doing::Start => Intent::Execute,
            Doing::Stop => Intent::Write,
            Doing::Status | Doing::Output | Doing::List => Intent::Read,
        };
        // Who can be reached may have answered anything.
        let is_untrusted = reaches && matches!(doing, Doing::Status | Doing::Output | Doing::List);
        (ToolSpec { class: ToolClass::Sandbox, intent, is_untrusted, ..of_group("sandbox", spec) }, doing)
    };
    let name = json!({"type": "string", "minLength": 1, "maxLength": 40, "description": "The process's name"});
    let minutes = place.background.as_secs() / 60;
    vec![
        tool(
            spec(
                "process_start",
                &format!(
                    "Starts a command by /bin/sh in the sandbox, in the background: for what takes longer than \
                     run_shell allows, {minutes} minutes at most. Look at it with process_output."
                ),
                // The call's id is the process's: again is the same.
                Effect::Idempotent,
                Risk::Moderate,
                json!({
                    "command": {"type": "string", "minLength": 1, "maxLength": 100_000},
                    "name": {"type": "string", "minLength": 1, "maxLength": 40, "description": "What to call it"},
                    "cwd": {"type": "string", "maxLength": 500, "description": "A folder within the working folder"},
                    "timeout": {"type": "integer", "minimum": 1, "maximum": place.background.as_secs(), "description": "Seconds that it may take"},
                }),
                &["command"],
            ),
            Doing::Start,
        ),
        tool(
            spec(
                "process_status",
                "Says how a background process is.",
                Effect::ReadOnly,
                Risk::Safe,
                json!({"name": name}),
                &["name"],
            ),
            Doing::Status,
        ),
        tool(
            spec(
                "process_output",
                "Gives the last lines that a background process printed.",
                Effect::ReadOnly,
                Risk::Safe,
                json!({"name": name, "lines": {"type": "integer", "minimum": 1, "maximum": MOST_LINES}}),
                &["name"],
            ),
            Doing::Output,
        ),
        tool(
            spec(
                "process_stop",
                "Ends a background process, with all that it started.",
                Effect::Idempotent,
                Risk::Safe,
                json!({"name": name}),
                &["name"],
            ),
            Doing::Stop,
        ),
        tool(
            spec("process_list", "Lists the background processes.", Effect::ReadOnly, Risk::Safe, json!({}), &[]),
            Doing::List,
        ),
    ]
}
