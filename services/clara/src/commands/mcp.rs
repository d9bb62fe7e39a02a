//! Servers that offer tools: installed after they were seen, looked into, approved.

mod authorise; // Waiting for somebody who agrees on a page.
mod show; // What is printed of servers and of what they offer.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use bus::{Bus, Endpoints};
use domain::mcp::{Authorisation, McpAnswer, McpCommand as Asked, McpLimit, McpRequest, Status, VouchedBy, callback};
use domain::message::Principal;
use serde_json::json;
use service_kit::settings::Settings;

use self::show::shown;
use super::{attach, person};
use crate::cli::{Install, LimitCommand, LimitOf, McpCommand};

/// How long the tool runner may take: an install fetches packages.
const PATIENCE: Duration = Duration::from_secs(330);

/// Longest private key that is read, in bytes.
const KEY_BYTES: u64 = 16 * 1024;

/// A server that is authorised.
struct Server {
    name: String,
    /// For everybody, rather than for who asks.
    for_all: bool,
}

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
            let text = mcp.ask(Asked::Uninstall { name: name.clone() }).await?.text;
            match json {
                true => println!("{}", json!({"uninstalled": name, "text": text})),
                false => println!("{text}"),
            }
            Ok(ExitCode::SUCCESS)
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
        McpCommand::OauthStart { name, whose, redirect_uri, client_id, client_secret, timeout } => {
            let client_secret = client_secret.then(|| line("the client's secret")).transpose()?;
            let server = Server { name, for_all: whose.all };
            match redirect_uri {
                Some(redirect_uri) => {
                    let start = Authorisation::Start { redirect_uri, client_id, client_secret };
                    mcp.text(&mcp.authorise(&server, start).await?)
                }
                None => mcp.on_a_page(&server, client_id, client_secret, Duration::from_secs(timeout)).await,
            }
        }
        McpCommand::OauthComplete { name, address, whose } => {
            let server = Server { name, for_all: whose.all };
            let back = callback(&address, "");
            authorise::agreed(&back)?;
            mcp.tools(&mcp.authorise(&server, Authorisation::Complete(back)).await?)
        }
        McpCommand::OauthStatus { name, whose } => {
            mcp.text(&mcp.authorise(&Server { name, for_all: whose.all }, Authorisation::Status).await?)
        }
        McpCommand::OauthMachine { name, whose, client_id, algorithm } => {
            let secret = match &algorithm {
                Some(_) => std::io::read_to_string(std::io::stdin().take(KEY_BYTES)).context("read the private key")?,
                None => line("the client's secret")?,
            };
            let machine = Authorisation::Machine { client_id, secret, algorithm };
            mcp.tools(&mcp.authorise(&Server { name, for_all: whose.all }, machine).await?)
        }
        McpCommand::OauthEnterprise { name, whose, client_id, provider, provider_client_id, refresh } => {
            let (token, secret) = (line("what the provider gave")?, line("the client's secret").unwrap_or_default());
            let client_secret = line("the client's secret at the provider").ok().filter(|secret| !secret.is_empty());
            let provider = VouchedBy {
                issuer: provider,
                client_id: provider_client_id,
                client_secret,
                token,
                is_refresh: refresh,
            };
            let enterprise = Authorisation::Enterprise { client_id, secret, provider };
            mcp.tools(&mcp.authorise(&Server { name, for_all: whose.all }, enterprise).await?)
        }
        McpCommand::OauthSetToken { name, whose } => {
            let (access_token, refresh_token) = (line("the token")?, line("the refresh token").ok());
            let token = Authorisation::SetToken { access_token, refresh_token };
            mcp.tools(&mcp.authorise(&Server { name, for_all: whose.all }, token).await?)
        }
        McpCommand::Calls { limit } => mcp.calls(&mcp.ask(Asked::Calls { limit }).await?),
        McpCommand::Limit(LimitCommand::List) => mcp.limits(&mcp.ask(Asked::Limits).await?),
        McpCommand::Limit(LimitCommand::Set { of, per_minute, per_hour, per_day }) => {
            let LimitOf { user, server, tool } = of;
            let limit = McpLimit { user, server, tool, per_minute, per_hour, per_day };
            mcp.limits(&mcp.ask(Asked::SetLimit(limit)).await?)
        }
        McpCommand::Limit(LimitCommand::Drop { of: LimitOf { user, server, tool } }) => {
            mcp.limits(&mcp.ask(Asked::DropLimit { user, server, tool }).await?)
        }
        McpCommand::Usage { all, limit } => mcp.usage(&mcp.ask(Asked::Usage { for_all: all, limit }).await?),
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

    async fn authorise(&self, server: &Server, what: Authorisation) -> anyhow::Result<McpAnswer> {
        self.ask(Asked::Oauth { name: server.name.clone(), for_all: server.for_all, what }).await
    }

    async fn install(&self, install: Install) -> anyhow::Result<ExitCode> {
        let Install { source, name, env, header, all, yes, arguments } = install;
        let source = absolute(&source)?;
        let planned = self.ask(Asked::Plan { source: source.clone(), name }).await?.plan;
        let (name, launch) = planned.context("the tool runner planned nothing")?;
        let launch = launch.with(arguments, pairs(&env)?, pairs(&header)?).map_err(anyhow::Error::msg)?;
        if !self.json {
            println!("`{name}` would run, with the rights of the tool runner:\n    {}", shown(&launch));
        }
        if !yes && self.json {
            println!("{}", json!({"planned": name, "runs": shown(&launch)}));
        }
        if !yes && !self.confirmed("Install it?")? {
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
            let for_all = if all { ", for whoever says it; with --all for everybody" } else { "" };
            println!(
                "Installed `{name}`, which wants to know who asks: `clara mcp oauth-start {name}` authorises it{for_all}."
            );
            return Ok(ExitCode::SUCCESS);
        }
        println!("Installed `{name}`. It offers:");
        self.tools(&answer)?;
        println!("What a tool does is asked for each time, unless the policy says otherwise.");
        Ok(ExitCode::SUCCESS)
    }

    /// Asks whoever sits at the terminal, who was shown what it is about. Scripts say it beforehand.
    fn confirmed(&self, question: &str) -> anyhow::Result<bool> {
        if self.json || !std::io::stdin().is_terminal() {
            bail!("nobody is there to agree: say --yes after you have looked at it");
        }
        print!("{question} [y/N] ");
        std::io::stdout().flush()?;
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
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
        if !self.json || !yes {
            self.tools(&seen)?;
        }
        if !yes && !self.confirmed("Let models read and call this?")? {
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
    // A file of one's own is never taken for a stranger's package of that name.
    if source.starts_with("./") || source.starts_with("../") || std::path::Path::new(&source).exists() {
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
