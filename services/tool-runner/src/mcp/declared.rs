//! Servers that configuration files declare: our own, one a file, and `mcpServers` as MCPOmni
//! Connect and others write it. Pure.

use std::collections::BTreeMap;

use domain::mcp::Launch;
use serde::Deserialize;
use serde_json::Value;

use super::launch::{check_launch, check_name};

/// Servers that one file declares, at most.
const SERVERS: usize = 100;

/// A server as a file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) launch: Launch,
    pub(crate) is_enabled: bool,
}

#[derive(Deserialize)]
struct Entry {
    name: Option<String>,
    #[serde(alias = "transport_type", alias = "transport")]
    r#type: Option<String>,
    command: Option<Command>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, Value>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    enabled: Option<bool>,
    #[serde(default)]
    disabled: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Command {
    Program(String),
    Whole(Vec<String>),
}

/// What a file declares, and what is wrong with what cannot be used. `stem` is the file's
/// name, by which a server is called that has no name of its own.
pub(crate) fn declared(stem: &str, text: &str) -> (Vec<Declared>, Vec<String>) {
    let file: Value = match serde_json::from_str(text) {
        Ok(file) => file,
        Err(err) => return (Vec::new(), vec![format!("it is no JSON: {err}")]),
    };
    let mut entries: Vec<(String, Value)> = match file.get("mcpServers") {
        Some(Value::Object(servers)) => servers.clone().into_iter().collect(),
        Some(_) => return (Vec::new(), vec!["`mcpServers` is no object of servers by their names".to_owned()]),
        None if file.get("LLM").is_some() => Vec::new(),
        None => vec![(stem.to_owned(), file)],
    };
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    let (mut servers, mut faults) = (Vec::new(), Vec::new());
    if entries.len() > SERVERS {
        faults.push(format!("it declares more than {SERVERS} servers: the others are left out"));
    }
    for (name, entry) in entries.into_iter().take(SERVERS) {
        match read(&name, entry) {
            Ok(server) => servers.push(server),
            Err(why) => faults.push(format!("{name}: {why}")),
        }
    }
    (servers, faults)
}

fn read(name: &str, entry: Value) -> Result<Declared, String> {
    let entry: Entry = serde_json::from_value(entry).map_err(|err| err.to_string())?;
    let name = plain(entry.name.as_deref().unwrap_or(name));
    check_name(&name)?;
    let kind = entry.r#type.as_deref().unwrap_or(if entry.url.is_some() { "http" } else { "stdio" });
    let texts = |values: BTreeMap<String, Value>| values.into_iter().map(|(name, value)| (name, text(value))).collect();
    let launch = match kind {
        "stdio" => {
            let mut command = match entry.command.ok_or("it names no `command`")? {
                Command::Program(program) => vec![program],
                Command::Whole(command) => command,
            };
            command.extend(entry.args);
            Launch::Stdio { command, env: texts(entry.env) }
        }
        // Which of the two it speaks is found out.
        "http" | "sse" | "streamable_http" | "streamable-http" | "streamableHttp" => {
            Launch::Http { url: entry.url.ok_or("it names no `url`")?, headers: texts(entry.headers) }
        }
        other => return Err(format!("there is no transport {other:?}: stdio, sse, or streamable_http")),
    };
    check_launch(&launch)?;
    Ok(Declared { name, launch, is_enabled: entry.enabled.unwrap_or(true) && !entry.disabled })
}

/// Numbers and the like are meant as text.
fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A name as servers have one here: others allow capitals and spaces.
fn plain(name: &str) -> String {
    let small = name.trim().to_lowercase();
    small.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stdio(command: &[&str]) -> Launch {
        Launch::Stdio { command: command.iter().map(|part| (*part).to_owned()).collect(), env: BTreeMap::new() }
    }

    #[test]
    fn our_own_form_and_that_of_others_are_read() {
        let (servers, faults) = declared("time", r#"{"command": "uvx", "args": ["mcp-server-time"]}"#);
        assert_eq!(faults, [""; 0]);
        let time = Declared { name: "time".into(), launch: stdio(&["uvx", "mcp-server-time"]), is_enabled: true };
        assert_eq!(servers, [time]);
        let omni = r#"{
            "AgentConfig": {"tool_call_timeout": 30}, "LLM": {"provider": "openai"},
            "mcpServers": {
                "File System": {"transport_type": "stdio", "command": "npx", "args": ["-y", "fs"], "env": {"N": 7}},
                "far": {"transport_type": "streamable_http", "url": "https://mcp.example/mcp", "headers": {"A": "b"}, "timeout": 60},
                "old": {"transport_type": "carrier-pigeon", "url": "https://mcp.example/sse"},
                "off": {"command": ["node", "x.js"], "disabled": true},
                "none": {}
            }}"#;
        let (servers, faults) = declared("servers_config", omni);
        let names: Vec<(&str, bool)> = servers.iter().map(|server| (server.name.as_str(), server.is_enabled)).collect();
        assert_eq!(names, [("file-system", true), ("far", true), ("off", false)]);
        assert_eq!(
            servers[0].launch,
            Launch::Stdio {
                command: vec!["npx".into(), "-y".into(), "fs".into()],
                env: [("N".to_owned(), "7".to_owned())].into(),
            }
        );
        assert!(
            faults.len() == 2 && faults[0].contains("no `command`") && faults[1].contains("carrier-pigeon"),
            "{faults:?}"
        );
    }

    #[test]
    fn more_than_there_may_be_is_told() {
        let entries: Vec<String> = (0..=SERVERS).map(|n| format!(r#""s{n}": {{"command": "a"}}"#)).collect();
        let (servers, faults) = declared("x", &format!(r#"{{"mcpServers": {{{}}}}}"#, entries.join(",")));
        assert!(servers.len() == SERVERS && faults[0].contains("more than 100"), "{faults:?}");
    }

    #[test]
    fn what_nobody_could_have_planned_is_refused() {
        for entry in [
            "[]",
            "{",
            r#"{"command": "--help"}"#,
            r#"{"command": "a\nb"}"#,
            r#"{"url": "http://example.org/mcp"}"#,
            r#"{"command": "a", "env": {"A B": "c"}}"#,
        ] {
            let (servers, faults) = declared("x", entry);
            assert!(servers.is_empty() && faults.len() == 1, "{entry}: {servers:?} {faults:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(text in "[{}\\[\\]\":,a-z ]{0,80}") {
            let _ = declared("x", &text);
        }
    }
}
