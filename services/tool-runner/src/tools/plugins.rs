//! Servers that offer tools, as people ask for them in words.
//!
//! What would be run is told first, and `mcp_install` must name exactly that: so whoever
//! approves the call has seen it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::mcp::{Callback, Launch, McpAnswer, McpCommand, McpServer, callback};
use domain::tool::{Effect, Intent, Risk, ToolRequest, ToolSpec};
use serde_json::{Value, json};

use super::{of_group, spec, text};
use crate::mcp::{INSTALL, Plugins, may_be_told, variable};
use crate::registry::{Builtin, Tool};

/// How long a server may take that is started, in milliseconds: packages are fetched.
const STARTING_MS: u64 = INSTALL.as_millis() as u64 + 20_000;

/// Where a page leads back to whose address somebody copies: nobody listens there.
const COPIED: &str = "http://127.0.0.1:8765/callback";

#[derive(Clone, Copy)]
enum Doing {
    List,
    Status,
    Tools,
    Plan,
    Install,
    Uninstall,
    Enable,
    Disable,
    Restart,
    Refresh,
    HotReload,
    OauthStart,
    OauthComplete,
    OauthStatus,
    OauthSetToken,
}

struct PluginTool {
    spec: ToolSpec,
    doing: Doing,
    plugins: Arc<Plugins>,
}

pub(super) fn all(plugins: &Arc<Plugins>) -> Vec<Arc<dyn Tool>> {
    let name = || json!({"server_name": {"type": "string", "minLength": 1, "maxLength": 32, "description": "The server's name, as mcp_list shows it"}});
    let tool = |name: &str, description: &str, effect, risk, properties, required: &[&str], doing| {
        let spec = of_group("admin", spec(name, description, effect, risk, properties, required));
        let spec = match doing {
            // What servers say of themselves is anybody's words.
            Doing::List | Doing::Status | Doing::Tools => ToolSpec { is_untrusted: true, ..spec },
            // What they are given reaches others.
            Doing::OauthStart => ToolSpec { is_untrusted: true, intent: Intent::Network, ..spec },
            Doing::Install | Doing::Refresh | Doing::OauthComplete | Doing::OauthSetToken => {
                ToolSpec { is_untrusted: true, intent: Intent::Network, timeout_ms: STARTING_MS, ..spec }
            }
            Doing::Enable | Doing::Restart | Doing::HotReload => ToolSpec { intent: Intent::Execute, ..spec },
            Doing::Plan | Doing::Uninstall | Doing::Disable | Doing::OauthStatus => spec,
        };
        Arc::new(PluginTool { spec, doing, plugins: Arc::clone(plugins) }) as Arc<dyn Tool>
    };
    let (read, again) = (Effect::ReadOnly, Effect::Idempotent);
    let source = json!({"type": "string", "minLength": 1, "maxLength": 500, "description": "npm:<package>, pypi:<package>, github:<owner>/<repository>, docker:<image>, smithery:<name>, a path, or a URL"});
    let chosen =
        json!({"type": "string", "maxLength": 32, "description": "What to call it; left out: after the source"});
    let arguments = json!({"type": "array", "items": {"type": "string", "maxLength": 4096}, "maxItems": 32, "description": "More arguments for a server that runs here, such as a folder"});
    let variables = json!({"type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 4096}, "description": "Variables for a server that runs here; never a secret itself, but the variable of the tool runner that holds it, as ${GITHUB_TOKEN}"});
    let named = &["server_name"];
    vec![
        tool("mcp_list", "Lists the MCP servers that are installed.", read, Risk::Safe, json!({}), &[], Doing::List),
        tool("mcp_status", "Tells where an MCP server stands.", read, Risk::Safe, name(), named, Doing::Status),
        tool("mcp_tools", "Lists the tools of an MCP server.", read, Risk::Safe, name(), named, Doing::Tools),
        tool(
            "mcp_plan",
            "Tells what would be run to install an MCP server. Nothing is run. Use it before mcp_install.",
            read,
            Risk::Safe,
            json!({"source": source, "name": chosen, "arguments": arguments, "env": variables}),
            &["source"],
            Doing::Plan,
        ),
        tool(
            "mcp_install",
            "Installs an MCP server: starts it once, lists its tools, and keeps it. `command` must be exactly what \
             mcp_plan told.",
            Effect::Once,
            Risk::Dangerous,
            json!({
                "source": source,
                "name": chosen,
                "arguments": arguments,
                "env": variables,
                "for_all": {"type": "boolean", "description": "Everybody may use it; only this person if left out"},
                "command": {"type": "array", "items": {"type": "string", "maxLength": 4096}, "minItems": 1, "maxItems": 64, "description": "The program and its arguments, or the URL alone"},
            }),
            &["source", "command"],
            Doing::Install,
        ),
        tool("mcp_uninstall", "Removes an MCP server.", again, Risk::Moderate, name(), named, Doing::Uninstall),
        tool("mcp_enable", "Lets an MCP server be used again.", again, Risk::Moderate, name(), named, Doing::Enable),
        tool(
            "mcp_disable",
            "Keeps an MCP server from being used.",
            again,
            Risk::Moderate,
            name(),
            named,
            Doing::Disable,
        ),
        tool(
            "mcp_restart",
            "Ends an MCP server; it starts anew when it is used.",
            again,
            Risk::Moderate,
            name(),
            named,
            Doing::Restart,
        ),
        tool(
            "mcp_oauth_start",
            "Begins to authorise an MCP server; gives the address that the person must open, who then brings the \
             address that it led to, for mcp_oauth_complete.",
            Effect::Once,
            Risk::Moderate,
            json!({
                "server_name": {"type": "string", "minLength": 1, "maxLength": 32, "description": "The server's name"},
                "redirect_uri": {"type": "string", "maxLength": 2000, "description": "Where the page leads back to; left out: to this machine, where the person copies the address"},
            }),
            named,
            Doing::OauthStart,
        ),
        tool(
            "mcp_oauth_complete",
            "Completes the authorisation of an MCP server.",
            Effect::Once,
            Risk::Moderate,
            json!({
                "server_name": {"type": "string", "minLength": 1, "maxLength": 32, "description": "The server's name"},
                "code": {"type": "string", "minLength": 1, "maxLength": 16384, "description": "The whole address that the page led to, or its `code`"},
                "state": {"type": "string", "maxLength": 16384, "description": "Its `state`, if `code` is not the whole address"},
            }),
            &["server_name", "code"],
            Doing::OauthComplete,
        ),
        tool(
            "mcp_oauth_status",
            "Tells where the authorisation of an MCP server stands.",
            read,
            Risk::Safe,
            name(),
            named,
            Doing::OauthStatus,
        ),
        tool(
            "mcp_oauth_set_token",
            "Has an MCP server authorised by a token that stands in a variable where the tool runner runs. Never ask \
             for a token itself: what is said here is read by a model.",
            again,
            Risk::Dangerous,
            json!({
                "server_name": {"type": "string", "minLength": 1, "maxLength": 32, "description": "The server's name"},
                "token": {"type": "string", "minLength": 4, "maxLength": 200, "description": "The variable's name, as ${NOTION_TOKEN}"},
            }),
            &["server_name", "token"],
            Doing::OauthSetToken,
        ),
        tool(
            "mcp_hot_reload",
            "Starts an MCP server anew whenever its files change; it must have been installed from a path.",
            again,
            Risk::Moderate,
            json!({
                "server_name": {"type": "string", "minLength": 1, "maxLength": 32, "description": "The server's name"},
                "enable": {"type": "boolean", "description": "false ends it"},
            }),
            named,
            Doing::HotReload,
        ),
        tool(
            "mcp_refresh",
            "Starts MCP servers anew and reads what they offer now: one, or all.",
            again,
            Risk::Moderate,
            json!({"server_name": {"type": "string", "maxLength": 32, "description": "Left out: all"}}),
            &[],
            Doing::Refresh,
        ),
    ]
}

#[async_trait]
impl Builtin for PluginTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, request: &ToolRequest, arguments: Value) -> Result<String, String> {
        let name = text(&arguments, "server_name").to_owned();
        let ask = |command| self.plugins.answer(&request.principal, command);
        match self.doing {
            Doing::List => Ok(servers(&ask(McpCommand::List).await?)),
            Doing::Status => {
                let mut answer = ask(McpCommand::List).await?;
                answer.servers.retain(|server| server.name == name);
                Ok(servers(&answer))
            }
            Doing::Tools => Ok(tools(&ask(McpCommand::Tools { name }).await?)),
            Doing::Plan => {
                let (name, launch) = self.plan(request, &arguments).await?;
                let command = json!(command(&launch));
                Ok(format!(
                    "Installed as `{name}`, this would be run: {command}. mcp_install with that `command` does it."
                ))
            }
            Doing::Install => {
                let (name, launch) = self.plan(request, &arguments).await?;
                let agreed: Vec<&str> =
                    arguments["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                if agreed != command(&launch) {
                    return Err(format!("`command` must be exactly {}", json!(command(&launch))));
                }
                let source = text(&arguments, "source").to_owned();
                let for_all = arguments["for_all"] == Value::Bool(true);
                let answer = ask(McpCommand::Install { source, name: name.clone(), launch, for_all }).await?;
                Ok(format!("Installed `{name}`. It offers:\n{}", tools(&answer)))
            }
            Doing::Uninstall => {
                ask(McpCommand::Uninstall { name: name.clone() }).await?;
                Ok(format!("`{name}` is gone."))
            }
            Doing::Enable => Ok(servers(&ask(McpCommand::Enable { name, is_enabled: true }).await?)),
            Doing::Disable => Ok(servers(&ask(McpCommand::Enable { name, is_enabled: false }).await?)),
            Doing::Restart => Ok(servers(&ask(McpCommand::Restart { name }).await?)),
            Doing::OauthStart => {
                let given = text(&arguments, "redirect_uri");
                let redirect_uri = if given.is_empty() { COPIED } else { given }.to_owned();
                let address = ask(McpCommand::OauthStart { name, redirect_uri, client_id: None, client_secret: None })
                    .await?
                    .text;
                Ok(format!("The person must open {address} and bring the address that it leads to."))
            }
            Doing::OauthComplete => {
                let Callback { code, state, issuer } = callback(text(&arguments, "code"), text(&arguments, "state"));
                let answer = ask(McpCommand::OauthComplete { name, code, state, issuer }).await?;
                Ok(format!("Authorised. It offers:\n{}", tools(&answer)))
            }
            Doing::OauthStatus => Ok(ask(McpCommand::OauthStatus { name }).await?.text),
            Doing::OauthSetToken => {
                let access_token = text(&arguments, "token").to_owned();
                if variable(&access_token).is_none() {
                    return Err(format!(
                        "a token is not for a chat, where a model reads it: name the variable in which it stands, as \
                         ${{NOTION_TOKEN}}, or give it to `clara mcp oauth-set-token {name}` in a terminal"
                    ));
                }
                let answer = ask(McpCommand::OauthSetToken { name, access_token, refresh_token: None }).await?;
                Ok(format!("Authorised. It offers:\n{}", tools(&answer)))
            }
            Doing::HotReload => {
                let is_wanted = arguments.get("enable").and_then(Value::as_bool).unwrap_or(true);
                Ok(servers(&ask(McpCommand::HotReload { name, is_wanted }).await?))
            }
            Doing::Refresh => Ok(servers(&ask(McpCommand::Refresh { name }).await?)),
        }
    }
}

impl PluginTool {
    async fn plan(&self, request: &ToolRequest, arguments: &Value) -> Result<(String, Launch), String> {
        let (source, name) = (text(arguments, "source").to_owned(), text(arguments, "name").to_owned());
        // It would be told to whoever is at the address, and nobody sees what it is.
        if source.contains("${") {
            return Err("in chat an address names no variable: `clara mcp install` takes one".to_owned());
        }
        let answer = self.plugins.answer(&request.principal, McpCommand::Plan { source, name }).await?;
        let (name, launch) = answer.plan.ok_or("nothing would be run")?;
        let more = arguments["arguments"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut variables = BTreeMap::new();
        for (name, value) in arguments["env"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            may_be_told(value)?;
            variables.insert(name.clone(), value.to_owned());
        }
        Ok((name, launch.with(more.map(str::to_owned).collect(), variables, BTreeMap::new())?))
    }
}

/// What is run, or the URL alone.
fn command(launch: &Launch) -> Vec<String> {
    match launch {
        Launch::Stdio { command, .. } => command.clone(),
        Launch::Http { url, .. } => vec![url.clone()],
    }
}

fn servers(answer: &McpAnswer) -> String {
    let line = |server: &McpServer| {
        let whose = if server.owner.is_empty() { "everybody's" } else { "yours" };
        // What it said when it failed is for a person to read.
        let why = if server.last_error.is_empty() { "" } else { "; it failed: `clara mcp list` says why" };
        format!(
            "- {} ({whose}, from {}): {}, {} tools{why}",
            server.name,
            server.source,
            server.status.as_str(),
            server.tools
        )
    };
    match answer.servers.is_empty() {
        true => "There are none.".to_owned(),
        false => answer.servers.iter().map(line).collect::<Vec<_>>().join("\n"),
    }
}

fn tools(answer: &McpAnswer) -> String {
    let line = |tool: &domain::mcp::McpTool| {
        match tool.is_approved {
            true => format!("- {}: {}", tool.name, tool.description),
            // No model reads what nobody has agreed to.
            false => {
                format!("- {} (not approved: an administrator must read what it says of itself, and agree)", tool.name)
            }
        }
    };
    match answer.tools.is_empty() {
        true => "It offers no tools.".to_owned(),
        false => answer.tools.iter().map(line).collect::<Vec<_>>().join("\n"),
    }
}
