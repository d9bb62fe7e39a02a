//! What is printed of servers and of what they offer: lines to read, or one of JSON each.
//! What servers say of themselves is shown without what a terminal would obey.

use std::collections::BTreeMap;
use std::process::ExitCode;

use domain::mcp::{
    Launch, McpAnswer, McpArgument, McpCall, McpLimit, McpPrompt, McpResource, McpServer, McpTool, McpUsage,
};
use domain::message::without_controls;
use domain::untrusted::visible;
use serde_json::{Value, json};

use super::Mcp;
use crate::commands::time;
use crate::commands::turn::one_line;

impl Mcp {
    pub(super) fn servers(&self, answer: &McpAnswer) -> anyhow::Result<ExitCode> {
        for server in &answer.servers {
            match self.json {
                true => println!("{}", to_json(server)),
                false => {
                    let whose = if server.owner.is_empty() { "all" } else { server.owner.as_str() };
                    println!(
                        "{:<20} {:<9} {:>3} tools  {:<12} {}",
                        server.name,
                        server.status.as_str(),
                        server.tools,
                        without_controls(whose),
                        shown(&server.launch)
                    );
                    if server.may_sample {
                        println!("    may ask the model something in the middle of a call");
                    }
                    if !server.last_error.is_empty() {
                        println!("    last error: {}", one_line(&visible(&server.last_error)));
                    }
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn tools(&self, answer: &McpAnswer) -> anyhow::Result<ExitCode> {
        for McpTool { name, description, schema, is_approved, suspicion, hash } in &answer.tools {
            if self.json {
                println!(
                    "{}",
                    json!({"name": name, "description": description, "schema": schema, "approved": is_approved,
                           "suspicion": suspicion, "hash": hash})
                );
                continue;
            }
            let state = match is_approved {
                true => "",
                false => " — not approved yet, or changed since: `clara mcp approve` agrees to it",
            };
            println!("  {}{state}", visible(name));
            if suspicion != "clean" {
                println!("      Look closely: some of this reads like orders to a model ({suspicion}).");
            }
            for line in visible(description).lines() {
                println!("      {line}");
            }
            println!("      takes {}", visible(schema));
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn resources(&self, answer: &McpAnswer) -> anyhow::Result<ExitCode> {
        for McpResource { uri, name, description, media_type, is_template, has_changed } in &answer.resources {
            if self.json {
                println!(
                    "{}",
                    json!({"uri": uri, "name": name, "description": description, "media_type": media_type,
                           "template": is_template, "changed": has_changed})
                );
                continue;
            }
            let kind = if *is_template { "  (a template)" } else { "" };
            let changed = if *has_changed { "  (changed since it was read)" } else { "" };
            println!("{}{kind}{changed}", visible(uri));
            println!("    {}  {}", one_line(&visible(name)), one_line(&visible(description)));
        }
        self.none(answer.resources.is_empty(), "It lets nothing be read.")
    }

    pub(super) fn prompts(&self, answer: &McpAnswer) -> anyhow::Result<ExitCode> {
        for McpPrompt { name, description, arguments } in &answer.prompts {
            if self.json {
                let arguments = arguments.iter().map(|McpArgument { name, description, is_required }| {
                    json!({"name": name, "description": description, "required": is_required})
                });
                let arguments: Vec<Value> = arguments.collect();
                println!("{}", json!({"name": name, "description": description, "arguments": arguments}));
                continue;
            }
            println!("{}  {}", visible(name), one_line(&visible(description)));
            for McpArgument { name, description, is_required } in arguments {
                let kind = if *is_required { "" } else { " (may be left out)" };
                println!("    {}{kind}  {}", visible(name), one_line(&visible(description)));
            }
        }
        self.none(answer.prompts.is_empty(), "It has no prompts ready.")
    }

    pub(super) fn calls(&self, answer: &McpAnswer) -> anyhow::Result<ExitCode> {
        for McpCall { server, tool, started_at_ms, duration_ms, error } in &answer.calls {
            let ended = if error.is_empty() { "well" } else { error };
            self.row(
                json!({"server": server, "tool": tool, "started_at_ms": started_at_ms, "duration_ms": duration_ms,
                       "error": error}),
                format!("{}  {duration_ms:>7} ms  {ended:<12} {server}__{}", time(*started_at_ms), visible(tool)),
            );
        }
        self.none(answer.calls.is_empty(), "No server was called.")
    }

    pub(super) fn usage(&self, answer: &McpAnswer) -> anyhow::Result<ExitCode> {
        for McpUsage { user, server, day, calls, failed, timed_out, total_ms } in &answer.usage {
            let mean = total_ms.checked_div(*calls).unwrap_or_default();
            let user_shown = without_controls(user);
            self.row(
                json!({"user": user, "server": server, "day": day, "calls": calls, "failed": failed,
                       "timed_out": timed_out, "total_ms": total_ms}),
                format!(
                    "{day}  {user_shown:<20} {server:<20} {calls:>5} calls, {failed} failed, {timed_out} took too long; \
                     {mean} ms each"
                ),
            );
        }
        self.none(answer.usage.is_empty(), "No server was called.")
    }

    pub(super) fn limits(&self, answer: &McpAnswer) -> anyhow::Result<ExitCode> {
        let any = |name: &str, any: &str| if name.is_empty() { any.to_owned() } else { visible(name) };
        let most = |calls: &u64| if *calls == 0 { "any".to_owned() } else { calls.to_string() };
        for McpLimit { user, server, tool, per_minute, per_hour, per_day } in &answer.limits {
            self.row(
                json!({"user": user, "server": server, "tool": tool, "per_minute": per_minute, "per_hour": per_hour,
                       "per_day": per_day}),
                format!(
                    "{:<20} {:<20} {:<20} {:>6} a minute, {:>6} an hour, {:>6} a day",
                    any(user, "each person"),
                    any(server, "all servers"),
                    any(tool, "all tools"),
                    most(per_minute),
                    most(per_hour),
                    most(per_day)
                ),
            );
        }
        self.none(answer.limits.is_empty(), "No limit is set but by CLARA_MCP_CALLS_PER_MINUTE, …_HOUR and …_DAY.")
    }

    /// One of many: for scripts, or for people.
    fn row(&self, value: Value, line: String) {
        match self.json {
            true => println!("{value}"),
            false => println!("{line}"),
        }
    }

    pub(super) fn text(&self, answer: &McpAnswer) -> anyhow::Result<ExitCode> {
        match self.json {
            true => println!("{}", json!({"text": answer.text})),
            false => println!("{}", visible(&answer.text)),
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn none(&self, is_empty: bool, words: &str) -> anyhow::Result<ExitCode> {
        if is_empty && !self.json {
            println!("{words}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Exactly what is run, each argument apart; values that may be secrets are not shown.
pub(super) fn shown(launch: &Launch) -> String {
    let names = |values: &BTreeMap<String, String>| values.keys().cloned().collect::<Vec<_>>().join(", ");
    match launch {
        Launch::Stdio { command, env } => {
            let quoted = |part: &String| match part.is_empty() || part.contains(|c: char| !c.is_ascii_graphic()) {
                true => format!("{:?}", visible(part)),
                false => part.clone(),
            };
            let with = if env.is_empty() { String::new() } else { format!("   (with {})", names(env)) };
            format!("{}{with}", command.iter().map(quoted).collect::<Vec<_>>().join(" "))
        }
        Launch::Http { url, headers } => {
            let with = if headers.is_empty() { String::new() } else { format!("   (with {})", names(headers)) };
            format!("{}{with}", visible(url))
        }
    }
}

fn to_json(server: &McpServer) -> Value {
    json!({
        "name": server.name, "owner": server.owner, "source": server.source, "status": server.status.as_str(),
        "tools": server.tools, "last_error": server.last_error, "installed_by": server.installed_by,
        "installed_at_ms": server.installed_at_ms, "hot_reload": server.is_reloaded,
        "may_sample": server.may_sample, "runs": shown(&server.launch),
    })
}
