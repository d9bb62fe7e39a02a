//! Servers that offer tools: installed after they were seen, looked into, approved.

mod authorise; // Waiting for somebody who agrees on a page.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use bus::{Bus, Endpoints};
use domain::mcp::{
    Callback, Launch, McpAnswer, McpArgument, McpCommand as Asked, McpPrompt, McpRequest, McpResource, McpServer,
    McpTool, Status, callback,
};
use domain::message::{Principal, without_controls};
use domain::untrusted::visible;
use serde_json::{Value, json};
use service_kit::settings::Settings;

use super::turn::one_line;
use super::{attach, person};
use crate::cli::{Install, McpCommand};

/// How long the tool runner may take: an install fetches packages.
const PATIENCE: Duration = Duration::from_secs(330);

struct Mcp {
    bus: Bus,
    principal: Principal,
    json: bool,
}

pub(super) async fn run(settings: &Settings, what: McpCommand, json: bool) -> anyhow::Result<ExitCode> {
    if let McpCommand::Serve { http, host, timeout } = what {
        return crate::mcp_server::run(settings, http, host, Duration::from_secs(timeout)).await;
    }
    let mcp = Mcp { bus: attach(settings).await?, principal: person(settings), json };
    match what {
        McpCommand::Install(install) => mcp.install(install).await,
        McpCommand::Uninstall { name } => {
            mcp.ask(Asked::Uninstall { name: name.clone() }).await?;
            mcp.report("uninstalled", &name)
        }
        McpCommand::List => {
            let answer = mcp.ask(Asked::List).await?;
            if answer.servers.is_empty() && !json {
                println!("No server is installed; `clara mcp install --help` says how.");
            }
            mcp.servers(&answer)
        }
        McpCommand::Status { name } => {
            let mut answer = mcp.ask(Asked::List).await?;
            answer.servers.retain(|server| server.name == name);
            if answer.servers.is_empty() {
                bail!("there is no server `{name}` of yours; `clara mcp list` names them");
            }
            mcp.servers(&answer)
        }
        McpCommand::Tools { name } => mcp.tools(&mcp.ask(Asked::Tools { name }).await?),
        McpCommand::Enable { name } => mcp.servers(&mcp.ask(Asked::Enable { name, is_enabled: true }).await?),
        McpCommand::Disable { name } => mcp.servers(&mcp.ask(Asked::Enable { name, is_enabled: false }).await?),
        McpCommand::Restart { name } => mcp.servers(&mcp.ask(Asked::Restart { name }).await?),
        McpCommand::HotReload { name, off } => mcp.servers(&mcp.ask(Asked::HotReload { name, is_wanted: !off }).await?),
        McpCommand::Refresh { name } => mcp.servers(&mcp.ask(Asked::Refresh { name: name.unwrap_or_default() }).await?),
        McpCommand::Approve { name, yes } => mcp.approve(name, yes).await,
        McpCommand::Serve { .. } => bail!("it serves already"),
        McpCommand::Sampling { name, off } => mcp.servers(&mcp.ask(Asked::Sampling { name, is_allowed: !off }).await?),
        McpCommand::OauthStart { name, redirect_uri, client_id, client_secret, timeout } => {
            let client_secret = client_secret.then(|| line("the client's secret")).transpose()?;
            match redirect_uri {
                Some(redirect_uri) => {
                    mcp.text(&mcp.ask(Asked::OauthStart { name, redirect_uri, client_id, client_secret }).await?)
                }
                None => mcp.authorise(name, client_id, client_secret, Duration::from_secs(timeout)).await,
            }
        }
        McpCommand::OauthComplete { name, address } => {
            let Callback { code, state, issuer } = callback(&address, "");
            mcp.tools(&mcp.ask(Asked::OauthComplete { name, code, state, issuer }).await?)
        }
        McpCommand::OauthStatus { name } => mcp.text(&mcp.ask(Asked::OauthStatus { name }).await?),
        McpCommand::OauthSetToken { name } => {
            let (access_token, refresh_token) = (line("the token")?, line("the refresh token").ok());
            mcp.tools(&mcp.ask(Asked::OauthSetToken { name, access_token, refresh_token }).await?)
        }
        McpCommand::Resources { name } => mcp.resources(&mcp.ask(Asked::Resources { name }).await?),
        McpCommand::Resource { name, uri } => mcp.text(&mcp.ask(Asked::Read { name, uri }).await?),
        McpCommand::Subscribe { name, uri } => mcp.subscribe(name, uri, true).await,
        McpCommand::Unsubscribe { name, uri } => mcp.subscribe(name, uri, false).await,
        McpCommand::Prompts { name } => mcp.prompts(&mcp.ask(Asked::Prompts { name }).await?),
        McpCommand::Prompt { name, prompt, arguments } => {
            let arguments = pairs(&arguments)?;
            mcp.text(&mcp.ask(Asked::Prompt { name, prompt, arguments }).await?)
        }
    }
}

impl Mcp {
    async fn ask(&self, command: Asked) -> anyhow::Result<McpAnswer> {
        let request = McpRequest { principal: self.principal.clone(), command };
        Ok(self.bus.request(Endpoints::ToolsMcp, &request, PATIENCE).await?)
    }

    async fn install(&self, install: Install) -> anyhow::Result<ExitCode> {
        let Install { source, name, env, header, all, yes, arguments } = install;
        let source = absolute(&source)?;
        let planned = self.ask(Asked::Plan { source: source.clone(), name }).await?.plan;
        let (name, mut launch) = planned.context("the tool runner planned nothing")?;
        match &mut launch {
            Launch::Stdio { command, env: own } => {
                if !header.is_empty() {
                    bail!("--header is for servers that are reached by a URL; give --env");
                }
                let env = pairs(&env)?;
                if command.starts_with(&["docker".to_owned(), "run".to_owned()]) {
                    // A container sees only the variables that it is given by name.
                    let named = env.keys().flat_map(|name| ["-e".to_owned(), name.clone()]);
                    command.splice(2..2, named.collect::<Vec<_>>());
                }
                command.extend(arguments);
                own.extend(env);
            }
            Launch::Http { headers, .. } => {
                if !env.is_empty() || !arguments.is_empty() {
                    bail!("--env and arguments are for servers that run here; give --header");
                }
                headers.extend(pairs(&header)?);
            }
        }
        if !self.json {
            println!("`{name}` would run, with the rights of the tool runner:\n    {}", shown(&launch));
        }
        if !yes && !confirmed("Install it?")? {
            bail!("not installed");
        }
        if !self.json {
            println!("Starting it once …");
        }
        let answer = self.ask(Asked::Install { source, name: name.clone(), launch, for_all: all }).await?;
        if self.json {
            return self.tools(&answer);
        }
        let is_pending = answer.servers.iter().any(|server| server.status == Status::PendingAuth);
        if is_pending {
            println!("Installed `{name}`, which wants to know who asks: `clara mcp oauth-start {name}` authorises it.");
            return Ok(ExitCode::SUCCESS);
        }
        println!("Installed `{name}`. It offers:");
        self.tools(&answer)?;
        println!("What a tool does is asked for each time, unless the policy says otherwise.");
        Ok(ExitCode::SUCCESS)
    }

    /// Agrees to what is shown, and to nothing that came after it.
    async fn approve(&self, name: String, yes: bool) -> anyhow::Result<ExitCode> {
        let mut seen = self.ask(Asked::Tools { name: name.clone() }).await?;
        seen.tools.retain(|tool| !tool.is_approved);
        if seen.tools.is_empty() {
            if !self.json {
                println!("All that `{name}` offers is approved.");
            }
            return Ok(ExitCode::SUCCESS);
        }
        if !self.json {
            self.tools(&seen)?;
        }
        if !yes && !confirmed("Let models read and call this?")? {
            bail!("not approved");
        }
        let hashes = seen.tools.into_iter().map(|tool| tool.hash).collect();
        let mut answer = self.ask(Asked::Approve { name: name.clone(), hashes }).await?;
        answer.tools.retain(|tool| self.json || !tool.is_approved);
        if !self.json {
            println!("Approved.");
            if !answer.tools.is_empty() {
                println!("`{name}` changed meanwhile; look again:");
            }
        }
        self.tools(&answer)
    }

    fn servers(&self, answer: &McpAnswer) -> anyhow::Result<ExitCode> {
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

    fn tools(&self, answer: &McpAnswer) -> anyhow::Result<ExitCode> {
        for McpTool { name, description, schema, is_approved, suspicion, hash } in &answer.tools {
            if self.json {
                println!(
                    "{}",
                    json!({"name": name, "description": description, "schema": schema, "approved": is_approved,
                           "suspicion": suspicion, "hash": hash})
                );
                continue;
            }
            let state =
                if *is_approved { "" } else { " — not approved: it changed; `clara mcp approve` agrees to it" };
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

    fn resources(&self, answer: &McpAnswer) -> anyhow::Result<ExitCode> {
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

    fn prompts(&self, answer: &McpAnswer) -> anyhow::Result<ExitCode> {
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

    fn text(&self, answer: &McpAnswer) -> anyhow::Result<ExitCode> {
        match self.json {
            true => println!("{}", json!({"text": answer.text})),
            false => println!("{}", visible(&answer.text)),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn none(&self, is_empty: bool, words: &str) -> anyhow::Result<ExitCode> {
        if is_empty && !self.json {
            println!("{words}");
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn subscribe(&self, name: String, uri: String, is_wanted: bool) -> anyhow::Result<ExitCode> {
        self.ask(Asked::Subscribe { name, uri: uri.clone(), is_wanted }).await?;
        self.report(if is_wanted { "subscribed" } else { "unsubscribed" }, &uri)
    }

    fn report(&self, done: &str, name: &str) -> anyhow::Result<ExitCode> {
        match self.json {
            true => println!("{}", json!({ done: name })),
            false => println!("`{name}` is {done}."),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A line of standard input, for what is not to stand in a command.
fn line(what: &str) -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    match line.trim() {
        "" => bail!("give {what} on standard input"),
        given => Ok(given.to_owned()),
    }
}

/// A path from here; the tool runner stands elsewhere.
fn absolute(source: &str) -> anyhow::Result<String> {
    let source = match source.strip_prefix("~/") {
        Some(_) => bail!("give the whole path: {source} is for a shell to read"),
        None => source.to_owned(),
    };
    if source.starts_with("./") || source.starts_with("../") {
        let path = std::fs::canonicalize(&source).with_context(|| format!("find {source}"))?;
        return Ok(path.display().to_string());
    }
    Ok(source)
}

fn pairs(given: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').with_context(|| format!("{text:?} is no NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    given.iter().map(pair).collect()
}

/// Exactly what is run, each argument apart; values that may be secrets are not shown.
fn shown(launch: &Launch) -> String {
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

fn confirmed(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody is there to agree: say --yes after you have looked at it");
    }
    print!("{question} [y/N] ");
    std::io::stdout().flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn to_json(server: &McpServer) -> Value {
    json!({
        "name": server.name, "owner": server.owner, "source": server.source, "status": server.status.as_str(),
        "tools": server.tools, "last_error": server.last_error, "installed_by": server.installed_by,
        "installed_at_ms": server.installed_at_ms, "hot_reload": server.is_reloaded,
        "may_sample": server.may_sample, "runs": shown(&server.launch),
    })
}
