//! Servers that offer tools, as people ask for them in words.
//!
//! What would be run is told first, and `mcp_install` must name exactly that: so whoever
//! approves the call has seen it.

mod specs; // What models read of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::mcp::{Authorisation, Launch, McpAnswer, McpCommand, McpServer, callback};
use domain::tool::{ToolRequest, ToolSpec};
use serde_json::{Value, json};

use self::specs::Doing;
use super::text;
use crate::mcp::{Plugins, may_be_told, variable};
use crate::registry::{Builtin, Tool};

/// Where a page leads back to whose address somebody copies: nobody listens there.
const COPIED: &str = "http://127.0.0.1:8765/callback";

pub(super) fn all(plugins: &Arc<Plugins>) -> Vec<Arc<dyn Tool>> {
    let tool = |(spec, doing)| Arc::new(PluginTool { spec, doing, plugins: Arc::clone(plugins) }) as Arc<dyn Tool>;
    specs::all().into_iter().map(tool).collect()
}

struct PluginTool {
    spec: ToolSpec,
    doing: Doing,
    plugins: Arc<Plugins>,
}

#[async_trait]
impl Builtin for PluginTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, request: &ToolRequest, arguments: Value) -> Result<String, String> {
        let name = text(&arguments, "server_name").to_owned();
        let ask = |command| self.plugins.answer(&request.principal, command);
        let for_all = arguments["for_all"] == Value::Bool(true);
        let authorise = |what| ask(McpCommand::Oauth { name: name.clone(), for_all, what });
        match self.doing {
            Doing::List => Ok(servers(&ask(McpCommand::List).await?)),
            Doing::Status => {
                let mut answer = ask(McpCommand::List).await?;
                answer.servers.retain(|server| name.is_empty() || server.name == name);
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
                let answer = ask(McpCommand::Install { source, name: name.clone(), launch, for_all }).await?;
                Ok(format!("Installed `{name}`. It offers:\n{}", tools(&answer)))
            }
            Doing::Uninstall => Ok(ask(McpCommand::Uninstall { name }).await?.text),
            Doing::Enable => Ok(servers(&ask(McpCommand::Enable { name, is_enabled: true }).await?)),
            Doing::Disable => Ok(servers(&ask(McpCommand::Enable { name, is_enabled: false }).await?)),
            Doing::Restart => Ok(servers(&ask(McpCommand::Restart { name }).await?)),
            Doing::OauthStart => {
                let given = text(&arguments, "redirect_uri");
                let redirect_uri = if given.is_empty() { COPIED } else { given }.to_owned();
                let start = Authorisation::Start { redirect_uri, client_id: None, client_secret: None };
                let address = authorise(start).await?.text;
                Ok(format!("The person must open {address} and bring the address that it leads to."))
            }
            Doing::OauthComplete => {
                let back = callback(text(&arguments, "code"), text(&arguments, "state"));
                let answer = authorise(Authorisation::Complete(back)).await?;
                Ok(format!("Authorised. It offers:\n{}", tools(&answer)))
            }
            Doing::OauthStatus => Ok(authorise(Authorisation::Status).await?.text),
            Doing::OauthSetToken => {
                let access_token = text(&arguments, "token").to_owned();
                if variable(&access_token).is_none() {
                    return Err(format!(
                        "a token is not for a chat, where a model reads it: name the variable in which it stands, as \
                         ${{NOTION_TOKEN}}, or give it to `clara mcp oauth-set-token {name}` in a terminal"
                    ));
                }
                let answer = authorise(Authorisation::SetToken { access_token, refresh_token: None }).await?;
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
