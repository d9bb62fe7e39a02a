//! What is built in.

mod calculate; // Arithmetic.
mod copies; // From the person's own folder into the sandbox's, and back.
mod facts; // Remembering, recalling, forgetting.
mod files; // The person's own folder.
#[cfg(feature = "chaos")]
mod ledger; // Tools whose runs are counted elsewhere.
mod memories; // All memories of a person at once.
mod plugins; // Servers that offer tools.
pub(crate) mod processes; // Processes in the background of the sandbox.
mod reading; // What servers let people read.
pub(crate) mod sandbox; // Code in the sandbox, and its files.
pub(crate) mod subagents; // Turns that do a part of the work.
mod time; // What time it is.
pub(crate) mod web; // Pages and searches.
mod whole; // Files that are written whole or not at all.

use std::path::Path;
use std::sync::Arc;

use bus::Bus;
use domain::tool::{Consent, Effect, Intent, Risk, ToolClass, ToolSpec};
use serde_json::Value;

use self::sandbox::Place;
use crate::mcp::Plugins;
use crate::registry::Tool;

/// How long a built-in tool may take, in milliseconds.
const TIMEOUT_MS: u64 = 20_000;

/// What built-in tools may use up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) file_bytes: u64,
    pub(crate) result_chars: usize,
}

/// Every built-in tool.
pub(crate) fn all(
    bus: &Bus,
    plugins: &Arc<Plugins>,
    place: Option<&Arc<Place>>,
    files: &Path,
    limits: Limits,
    time_zone: &str,
) -> std::io::Result<Vec<Arc<dyn Tool>>> {
    let mut tools: Vec<Arc<dyn Tool>> =
        vec![Arc::new(calculate::Calculate::new()), Arc::new(time::CurrentTime::new(time_zone))];
    tools.extend(facts::all(bus));
    tools.extend(memories::all(bus));
    tools.extend(plugins::all(plugins));
    tools.extend(reading::all(plugins));
    // Without a sandbox that holds there is no code to run.
    let own = files::root(files)?;
    tools.extend(place.into_iter().flat_map(sandbox::all));
    tools.extend(place.into_iter().flat_map(|place| copies::all(place, &own, limits)));
    tools.extend(files::all(&own, limits));
    #[cfg(feature = "chaos")]
    tools.extend(ledger::all());
    Ok(tools)
}

/// The spec of a built-in tool of the group `basics`; `schema` is the schema of its
/// properties. It reads if it changes nothing, else it writes.
fn spec(name: &str, description: &str, effect: Effect, risk: Risk, properties: Value, required: &[&str]) -> ToolSpec {
    let schema = serde_json::json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        schema: schema.to_string(),
        class: ToolClass::Builtin,
        effect,
        risk,
        intent: if effect == Effect::ReadOnly { Intent::Read } else { Intent::Write },
        group: "basics".to_owned(),
        is_untrusted: false,
        consent: Consent::Given,
        for_anyone: false,
        timeout_ms: TIMEOUT_MS,
    }
}

/// The same tool, as policies call its kind.
fn of_group(group: &str, spec: ToolSpec) -> ToolSpec {
    ToolSpec { group: group.to_owned(), ..spec }
}

/// The same tool, which touches nothing that is the asking person's own.
fn for_anyone(spec: ToolSpec) -> ToolSpec {
    ToolSpec { for_anyone: true, ..spec }
}

/// A text argument; the schema made sure that it is one.
fn text<'a>(arguments: &'a Value, name: &str) -> &'a str {
    arguments.get(name).and_then(Value::as_str).unwrap_or_default()
}
