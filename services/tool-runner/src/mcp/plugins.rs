//! What people do with servers: plan, install, look, approve. Nothing runs that its owner
//! has not seen and agreed to.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, Serve};
use domain::mcp::{Callback, Launch, McpAnswer, McpCommand, McpRequest, SERVERS, Status};
use domain::message::Principal;
use domain::tool::ToolSpec;
use service_kit::clock::now_ms;
use tracing::{info, warn};

use super::limits::CallLimits;
use super::server::start;
use super::source::{Found, check_launch, check_name, plan};
use super::tool::{BEFORE_CALL, McpTool};
use super::watcher::{MARK, path_of};
use super::{Offered, Servers, shown};
use crate::ports::{Authorities, Begin, Connector, Installations, Installed, Key, Machine, McpError};
use crate::registry::Tool;

/// How long an install may take: packages are fetched.
pub(crate) const INSTALL: Duration = Duration::from_secs(300);
/// Tools of servers that one model is offered, at most, and all that it reads of them, in
/// bytes: more than one chooses from well.
const OFFERED: usize = 128;
const OFFERED_BYTES: usize = 256 * 1024;
/// Longest package.json or pyproject.toml that is looked into, in bytes.
const MANIFEST_BYTES: u64 = 1024 * 1024;

pub(crate) struct Plugins {
    pub(crate) installations: Arc<dyn Installations>,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) authorities: Arc<dyn Authorities>,
    pub(crate) servers: Servers,
    /// Users who may install: what is installed runs here.
    pub(crate) admins: Vec<String>,
    /// How long one call may take.
    pub(crate) limit: Duration,
    /// How many calls one person may make.
    pub(crate) limits: CallLimits,
    /// Where people are told how far a call is.
    pub(crate) bus: Bus,
}

#[async_trait]
impl Serve<McpRequest, McpAnswer> for Plugins {
    async fn serve(&self, request: McpRequest) -> Result<McpAnswer, String> {
        self.answer(&request.principal, request.command).await
    }
}

impl Plugins {
    pub(crate) async fn answer(&self, principal: &Principal, command: McpCommand) -> Result<McpAnswer, String> {
        let user = principal.user.as_str();
        match command {
            McpCommand::Plan { source, name } => {
                // What is on the disk here is nobody else's to know.
                if source.trim_start().starts_with(['/', '.', '~']) {
                    self.admin(user)?;
                }
                let planned = plan(&source, &name, look)?;
                Ok(McpAnswer { plan: Some(planned), ..McpAnswer::default() })
            }
            McpCommand::Install { source, name, launch, for_all } => {
                self.admin(user)?;
                let owner = if for_all { String::new() } else { user.to_owned() };
                self.install(user, Key { owner, name }, source, launch).await
            }
            McpCommand::Uninstall { name } => {
                self.admin(user)?;
                let key = self.undeclared(user, &name).await?;
                self.servers.end(&key);
                // Before it: what it was authorised with must not outlive it.
                self.authorities.forget(&key).await?;
                self.installations.remove(&key).await.map_err(|err| err.to_string())?;
                info!(server = name, by = user, "uninstalled an MCP server");
                Ok(McpAnswer::default())
            }
            McpCommand::List => {
                let installed = self.installations.of(user).await.map_err(|err| err.to_string())?;
                self.shown(user, installed).await
            }
            McpCommand::Tools { name } => self.with_tools(user, self.find(user, &name).await?).await,
            McpCommand::Enable { name, is_enabled } => {
                self.admin(user)?;
                let key = self.undeclared(user, &name).await?;
                self.installations.enable(&key, is_enabled).await.map_err(|err| err.to_string())?;
                if !is_enabled {
                    self.servers.end(&key);
                }
                self.one(user, &name).await
            }
            McpCommand::Restart { name } => {
                self.admin(user)?;
                self.servers.end(&self.find(user, &name).await?.key);
                self.one(user, &name).await
            }
            McpCommand::Refresh { name } => {
                self.admin(user)?;
                let all = self.installations.of(user).await.map_err(|err| err.to_string())?;
                let chosen: Vec<Installed> = all
                    .into_iter()
                    .filter(|known| known.is_enabled && (name.is_empty() || known.key.name == name))
                    .collect();
                if chosen.is_empty() && !name.is_empty() {
                    return Err(unknown(&name));
                }
                let anew = async {
                    for installed in &chosen {
                        self.servers.end(&installed.key);
                        let _ = self.servers.connect(installed).await;
                    }
                };
                // One that does not start says so in the list, and so do those after it.
                let _ = tokio::time::timeout(INSTALL, anew).await;
                let installed = self.installations.of(user).await.map_err(|err| err.to_string())?;
                let chosen = installed.into_iter().filter(|known| chosen.iter().any(|one| one.key == known.key));
                self.shown(user, chosen.collect()).await
            }
            McpCommand::Approve { name, hashes } => {
                self.admin(user)?;
                let key = self.find(user, &name).await?.key;
                let hashes = hashes.into_iter().collect();
                self.installations.approve(&key, &hashes).await.map_err(|err| err.to_string())?;
                info!(server = name, by = user, "approved what an MCP server offers");
                self.with_tools(user, self.find(user, &name).await?).await
            }
            McpCommand::HotReload { name, is_wanted } => {
                self.admin(user)?;
                let installed = self.find(user, &name).await?;
                if is_wanted && path_of(&installed).is_none() {
                    return Err(format!("`{name}` was not installed from a path here: nothing of it can be watched"));
                }
                self.installations.set_reloaded(&installed.key, is_wanted).await.map_err(|err| err.to_string())?;
                self.one(user, &name).await
            }
            McpCommand::Sampling { name, is_allowed } => {
                self.admin(user)?;
                let key = self.find(user, &name).await?.key;
                self.installations.set_may_sample(&key, is_allowed).await.map_err(|err| err.to_string())?;
                info!(server = name, by = user, is_allowed, "changed whether a server may have words of the model");
                self.one(user, &name).await
            }
            McpCommand::OauthStart { name, redirect_uri, client_id, client_secret } => {
                let client = client_id.map(|id| (id, client_secret));
                self.oauth_start(user, &name, Begin { redirect_uri, client }).await
            }
            McpCommand::OauthComplete { name, code, state, issuer } => {
                self.oauth_complete(user, &name, Callback { code, state, issuer }).await
            }
            McpCommand::OauthStatus { name } => self.oauth_status(user, &name).await,
            McpCommand::OauthMachine { name, client_id, secret, algorithm } => {
                self.oauth_machine(user, &name, Machine { id: client_id, secret, algorithm }).await
            }
            McpCommand::OauthSetToken { name, access_token, refresh_token } => {
                self.oauth_set_token(user, &name, &access_token, refresh_token.as_deref()).await
            }
            McpCommand::Resources { name } => self.resources(user, &name).await,
            McpCommand::Read { name, uri } => self.read(user, &name, &uri).await,
            McpCommand::Subscribe { name, uri, is_wanted } => self.subscribe(user, &name, &uri, is_wanted).await,
            McpCommand::Prompts { name } => self.prompts(user, &name).await,
            McpCommand::Prompt { name, prompt, arguments } => self.prompt(user, &name, &prompt, &arguments).await,
        }
    }

    /// The tools that a person may call: approved ones of servers that are theirs, or
    /// everybody's, in the order of their names. One of theirs hides everybody's of the
    /// same name.
    pub(crate) async fn tools(&self, user: &str) -> Result<Vec<Arc<dyn Tool>>, String> {
        let timeout_ms = u64::try_from((self.limit + BEFORE_CALL).as_millis()).unwrap_or(u64::MAX);
        let (mut servers, mut names) = (HashSet::new(), HashSet::new());
        let (mut tools, mut bytes) = (Vec::<Arc<dyn Tool>>::new(), 0);
        for installed in self.of(user).await? {
            if !servers.insert(installed.key.name.clone()) || !installed.is_enabled {
                continue;
            }
            for offered in installed.tools.iter().filter(|offered| installed.is_approved(offered)) {
                let spec = offered.spec(&installed.key.name, timeout_ms);
                bytes += spec.description.len() + spec.schema.len();
                if tools.len() == OFFERED || bytes > OFFERED_BYTES {
                    warn!(server = installed.key.name, "more tools than one model is offered; some are left out");
                    break;
                }
                if names.insert(spec.name.clone()) {
                    tools.push(Arc::new(self.tool(spec, &installed, offered)));
                }
            }
        }
        tools.sort_by(|one, other| one.spec().name.cmp(&other.spec().name));
        Ok(tools)
    }

    fn tool(&self, spec: ToolSpec, installed: &Installed, offered: &Offered) -> McpTool {
        McpTool {
            spec,
            installed: Installed { tools: Vec::new(), ..installed.clone() },
            name: offered.name.clone(),
            servers: self.servers.clone(),
            installations: Arc::clone(&self.installations),
            limit: self.limit,
            limits: self.limits,
            bus: self.bus.clone(),
        }
    }

    /// Starts it once, reads what it offers, and keeps it only if that went well. Whoever
    /// agreed to run it is shown what it offers, and may disable it.
    pub(super) async fn install(
        &self,
        user: &str,
        key: Key,
        source: String,
        launch: Launch,
    ) -> Result<McpAnswer, String> {
        check_name(&key.name)?;
        check_launch(&launch)?;
        let known = self.of(user).await?;
        if known.len() >= SERVERS {
            return Err(format!("{SERVERS} servers are installed already, and that is the limit"));
        }
        let is_there = format!("there is a server `{}` already; uninstall it first, or give another name", key.name);
        if known.iter().any(|known| known.key.name == key.name) {
            return Err(is_there);
        }
        let started = tokio::time::timeout(INSTALL, start(self.connector.as_ref(), &key, &launch)).await;
        let (tools, last_error) = match started {
            Ok(Ok((connection, tools))) => {
                connection.close().await;
                (tools, String::new())
            }
            // What it offers is read, and agreed to, when somebody has authorised it.
            Ok(Err(why @ McpError::Unauthorized)) => (Vec::new(), why.to_string()),
            Ok(Err(why)) => return Err(format!("not installed: {why}")),
            Err(_) => return Err(format!("not installed: it did not start within {INSTALL:?}")),
        };
        let installed = Installed {
            key,
            source,
            launch,
            is_enabled: true,
            is_reloaded: false,
            may_sample: false,
            approved: tools.iter().map(Offered::hash).collect(),
            tools,
            last_error,
            installed_by: user.to_owned(),
            installed_at_ms: now_ms(),
        };
        if !self.installations.add(&installed).await.map_err(|err| err.to_string())? {
            return Err(is_there);
        }
        info!(server = installed.key.name, by = user, "installed an MCP server");
        self.with_tools(user, installed).await
    }

    pub(super) fn admin(&self, user: &str) -> Result<(), String> {
        match self.is_admin(user) {
            true => Ok(()),
            false => Err("only an administrator may do that: CLARA_ADMINS names them".to_owned()),
        }
    }

    fn is_admin(&self, user: &str) -> bool {
        self.admins.iter().any(|admin| admin == user)
    }

    /// The servers that a person may use; their own before everybody's.
    async fn of(&self, user: &str) -> Result<Vec<Installed>, String> {
        let mut known = self.installations.of(user).await.map_err(|err| err.to_string())?;
        known.sort_by_key(|known| known.key.owner.is_empty());
        Ok(known)
    }

    pub(super) async fn find(&self, user: &str, name: &str) -> Result<Installed, String> {
        let known = self.of(user).await?.into_iter().find(|known| known.key.name == name);
        known.ok_or_else(|| unknown(name))
    }

    /// A server that no file declares: what files say is changed there.
    async fn undeclared(&self, user: &str, name: &str) -> Result<Key, String> {
        let installed = self.find(user, name).await?;
        match installed.source.strip_prefix(MARK) {
            Some(file) => Err(format!("`{name}` is declared in {file}: change it there")),
            None => Ok(installed.key),
        }
    }

    async fn one(&self, user: &str, name: &str) -> Result<McpAnswer, String> {
        let installed = self.find(user, name).await?;
        self.shown(user, vec![installed]).await
    }

    pub(super) async fn with_tools(&self, user: &str, installed: Installed) -> Result<McpAnswer, String> {
        let tools = shown::tools(&installed);
        Ok(McpAnswer { tools, ..self.shown(user, vec![installed]).await? })
    }

    async fn shown(&self, user: &str, installed: Vec<Installed>) -> Result<McpAnswer, String> {
        let mut servers = Vec::with_capacity(installed.len());
        for installed in installed {
            let (status, why) = self.servers.report(&installed.key).await.unwrap_or((Status::Stopped, String::new()));
            let last_error = if why.is_empty() { installed.last_error.clone() } else { why };
            let is_theirs = installed.key.owner == user || self.is_admin(user);
            servers.push(shown::server(installed, status, last_error, is_theirs));
        }
        Ok(McpAnswer { servers, ..McpAnswer::default() })
    }
}

fn unknown(name: &str) -> String {
    format!("there is no server `{name}` of yours; `clara mcp list` names them")
}

/// What is there under a path.
fn look(path: &str) -> Found {
    let path = std::path::Path::new(path);
    let read = |name: &str| {
        let file = path.join(name);
        let is_small = std::fs::metadata(&file).is_ok_and(|found| found.is_file() && found.len() <= MANIFEST_BYTES);
        is_small.then(|| std::fs::read_to_string(&file).ok()).flatten()
    };
    if path.is_file() {
        return Found::File;
    }
    if !path.is_dir() {
        return Found::Nothing;
    }
    if let Some(manifest) = read("package.json").and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
    {
        let bin = match &manifest["bin"] {
            serde_json::Value::String(program) => Some(program.clone()),
            serde_json::Value::Object(programs) => {
                programs.values().find_map(|value| value.as_str().map(str::to_owned))
            }
            _ => manifest["main"].as_str().map(str::to_owned),
        };
        if let Some(program) = bin {
            return Found::NodePackage { program: program.trim_start_matches("./").to_owned() };
        }
    }
    if let Some(project) = read("pyproject.toml").and_then(|text| text.parse::<toml::Table>().ok())
        && let Some(name) = project.get("project").and_then(|project| project.get("name")).and_then(toml::Value::as_str)
    {
        return Found::PythonProject { name: name.to_owned() };
    }
    Found::Folder
}
