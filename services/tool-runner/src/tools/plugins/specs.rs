//! What models read of the tools by which servers are installed and looked after.

use domain::tool::{Effect, Intent, Risk, ToolSpec};
use serde_json::json;

use crate::mcp::INSTALL;
use crate::tools::{of_group, spec};

/// How long a server may take that is started, in milliseconds: packages are fetched.
const STARTING_MS: u64 = INSTALL.as_millis() as u64 + 20_000;

#[derive(Clone, Copy)]
pub(super) enum Doing {
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

/// Each tool, with what it does.
pub(super) fn all() -> Vec<(ToolSpec, Doing)> {
    let name = || json!({"server_name": {"type": "string", "minLength": 1, "maxLength": 32, "description": "The server's name, as mcp_list shows it"}});
    let tool = |name: &str, description: &str, effect, risk, properties, required: &[&str], doing| {
        let spec = of_group("admin", spec(name, description, effect, risk, properties, required));
        let spec = match doing {
            // What servers say of themselves is anybody's words.
            Doing::List | Doing::Status | Doing::Tools => ToolSpec { is_untrusted: true, ..spec },
            // What they are given reaches others.
            Doing::OauthStart | Doing::Plan => ToolSpec { is_untrusted: true, intent: Intent::Network, ..spec },
            Doing::Install | Doing::Refresh | Doing::OauthComplete | Doing::OauthSetToken => {
                ToolSpec { is_untrusted: true, intent: Intent::Network, timeout_ms: STARTING_MS, ..spec }
            }
            Doing::Enable | Doing::Restart | Doing::HotReload => ToolSpec { intent: Intent::Execute, ..spec },
            Doing::Uninstall | Doing::Disable | Doing::OauthStatus => spec,
        };
        (spec, doing)
    };
    let (read, again) = (Effect::ReadOnly, Effect::Idempotent);
    let source = json!({"type": "string", "minLength": 1, "maxLength": 500, "description": "npm:<package>, pypi:<package>, github:<owner>/<repository>, docker:<image>, smithery:<name>, smithery-hosted:<name>, a path, or a URL"});
    let chosen =
        json!({"type": "string", "maxLength": 32, "description": "What to call it; left out: after the source"});
    let arguments = json!({"type": "array", "items": {"type": "string", "maxLength": 4096}, "maxItems": 32, "description": "More arguments for a server that runs here, such as a folder"});
    let variables = json!({"type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 4096}, "description": "Variables for a server that runs here; never a secret itself, but the variable of the tool runner that holds it, as ${GITHUB_TOKEN}"});
    let named = &["server_name"];
    let one = json!({"server_name": {"type": "string", "maxLength": 32, "description": "Left out: all"}});
    let whose = json!({"type": "boolean", "description": "With these rights whoever uses a server of everybody's acts; only this person if left out"});
    vec![
        tool("mcp_list", "Lists the MCP servers that are installed.", read, Risk::Safe, json!({}), &[], Doing::List),
        tool(
            "mcp_status",
            "Tells where an MCP server stands, or all of them.",
            read,
            Risk::Safe,
            one.clone(),
            &[],
            Doing::Status,
        ),
        tool(
            "mcp_tools",
            "Lists the tools of an MCP server, or of all of them.",
            read,
            Risk::Safe,
            one.clone(),
            &[],
            Doing::Tools,
        ),
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
        tool(
            "mcp_uninstall",
            "Removes an MCP server; of everybody's, what this person has authorised it with, if they have.",
            // A second time takes what the first one left.
            Effect::Once,
            Risk::Moderate,
            name(),
            named,
            Doing::Uninstall,
        ),
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
                "for_all": whose,
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
                "for_all": whose,
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
                "for_all": whose,
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
            one,
            &[],
            Doing::Refresh,
        ),
    ]
}
