//! What MCP servers let people read, as people ask for it in words: resources and prompts.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::mcp::{McpAnswer, McpCommand};
use domain::tool::{Effect, Intent, Risk, ToolRequest, ToolSpec};
use serde_json::{Value, json};

use super::{of_group, spec, text};
use crate::mcp::Plugins;
use crate::registry::{Builtin, Tool};

/// How long a server may take that is started for it, in milliseconds.
const READING_MS: u64 = 120_000;

#[derive(Clone, Copy)]
enum Doing {
    Resources,
    Read,
    Subscribe,
    Prompts,
    Prompt,
}

struct ReadingTool {
    spec: ToolSpec,
    doing: Doing,
    plugins: Arc<Plugins>,
}

pub(super) fn all(plugins: &Arc<Plugins>) -> Vec<Arc<dyn Tool>> {
    let server = || json!({"type": "string", "minLength": 1, "maxLength": 32, "description": "The server's name, as mcp_list shows it"});
    let uri = || json!({"type": "string", "minLength": 1, "maxLength": 2000, "description": "The resource's address, as mcp_resources shows it"});
    let tool = |name: &str, description: &str, effect, properties: Value, required: &[&str], doing| {
        // As a server's tools are: it hears of it, and what it says is anybody's words.
        let spec = of_group("mcp", spec(name, description, effect, Risk::Moderate, properties, required));
        let spec = ToolSpec { intent: Intent::Network, is_untrusted: true, timeout_ms: READING_MS, ..spec };
        Arc::new(ReadingTool { spec, doing, plugins: Arc::clone(plugins) }) as Arc<dyn Tool>
    };
    let read = Effect::ReadOnly;
    vec![
        tool(
            "mcp_resources",
            "Lists what an MCP server lets people read.",
            read,
            json!({"server_name": server()}),
            &["server_name"],
            Doing::Resources,
        ),
        tool(
            "mcp_read_resource",
            "Reads a resource of an MCP server.",
            read,
            json!({"server_name": server(), "uri": uri()}),
            &["server_name", "uri"],
            Doing::Read,
        ),
        tool(
            "mcp_subscribe",
            "Hears of changes of a resource while its MCP server runs; mcp_resources shows what changed.",
            Effect::Idempotent,
            json!({"server_name": server(), "uri": uri(), "enable": {"type": "boolean", "description": "false ends it"}}),
            &["server_name", "uri"],
            Doing::Subscribe,
        ),
        tool(
            "mcp_prompts",
            "Lists the prompts that an MCP server has ready.",
            read,
            json!({"server_name": server()}),
            &["server_name"],
            Doing::Prompts,
        ),
        tool(
            "mcp_get_prompt",
            "Fills in a prompt of an MCP server and shows it.",
            read,
            json!({
                "server_name": server(),
                "prompt": {"type": "string", "minLength": 1, "maxLength": 2000},
                "arguments": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 32},
            }),
            &["server_name", "prompt"],
            Doing::Prompt,
        ),
    ]
}

#[async_trait]
impl Builtin for ReadingTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, request: &ToolRequest, arguments: Value) -> Result<String, String> {
        let name = text(&arguments, "server_name").to_owned();
        let uri = text(&arguments, "uri").to_owned();
        let ask = |command| self.plugins.answer(&request.principal, command);
        match self.doing {
            Doing::Resources => Ok(resources(&ask(McpCommand::Resources { name }).await?)),
            Doing::Read => Ok(ask(McpCommand::Read { name, uri }).await?.text),
            Doing::Subscribe => {
                let is_wanted = arguments.get("enable").and_then(Value::as_bool).unwrap_or(true);
                ask(McpCommand::Subscribe { name, uri, is_wanted }).await?;
                Ok("Done.".to_owned())
            }
            Doing::Prompts => Ok(prompts(&ask(McpCommand::Prompts { name }).await?)),
            Doing::Prompt => {
                let given = arguments.get("arguments").and_then(Value::as_object);
                let value = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let given: BTreeMap<String, String> =
                    given.into_iter().flatten().map(|(name, given)| (name.clone(), value(given))).collect();
                let prompt = text(&arguments, "prompt").to_owned();
                Ok(ask(McpCommand::Prompt { name, prompt, arguments: given }).await?.text)
            }
        }
    }
}

fn resources(answer: &McpAnswer) -> String {
    let lines = answer.resources.iter().map(|resource| {
        let kind = if resource.is_template { " (a template)" } else { "" };
        let changed = if resource.has_changed { " (changed since it was read)" } else { "" };
        format!("- {}{kind}{changed}: {} {}", resource.uri, resource.name, resource.description)
    });
    match answer.resources.is_empty() {
        true => "There are none.".to_owned(),
        false => lines.collect::<Vec<_>>().join("\n"),
    }
}

fn prompts(answer: &McpAnswer) -> String {
    let lines = answer.prompts.iter().map(|prompt| {
        let arguments = prompt
            .arguments
            .iter()
            .map(|argument| format!("{}{}", argument.name, if argument.is_required { "" } else { "?" }));
        format!("- {}({}): {}", prompt.name, arguments.collect::<Vec<_>>().join(", "), prompt.description)
    });
    match answer.prompts.is_empty() {
        true => "There are none.".to_owned(),
        false => lines.collect::<Vec<_>>().join("\n"),
    }
}
