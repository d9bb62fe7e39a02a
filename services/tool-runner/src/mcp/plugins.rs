//! What people do with servers: plan, install, look, approve. Nothing runs that its owner
//! has not seen and agreed to.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::Serve;
use domain::mcp::{Launch, McpAnswer, McpCommand, McpRequest, McpServer, McpTool as Shown, SERVERS, Status};
use domain::message::Principal;
use service_kit::clock::now_ms;
use tracing::info;

use super::server::start;
use super::source::{Found, check_launch, check_name, plan};
use super::tool::McpTool;
use super::{Servers, TOOLS};
use crate::ports::{Connector, Installations, Installed, Key};
use crate::registry::Tool;

/// How long an install may take: packages are fetched.
const INSTALL: Duration = Duration::from_secs(300);
/// Longest package.json or pyproject.toml that is looked into, in bytes.
const MANIFEST_BYTES: u64 = 1024 * 1024;

pub(crate) struct Plugins {
    pub(crate) installations: Arc<dyn Installations>,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) servers: Servers,
    /// Users who may install: what is installed runs here.
    pub(crate) admins: Vec<String>,
    /// How long one call may take.
    pub(crate) limit: Duration,
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
                let key = self.find(user, &name).await?.key;
                self.servers.end(&key);
                self.installations.remove(&key).await.map_err(|err| err.to_string())?;
                info!(server = name, by = user, "uninstalled an MCP server");
                Ok(McpAnswer::default())
            }
            McpCommand::List => {
                let installed = self.installations.of(user).await.map_err(|err| err.to_string())?;
                self.shown(installed).await
            }
            McpCommand::Tools { name } => {
                let installed = self.find(user, &name).await?;
                let tools = tools(&installed);
                Ok(McpAnswer { tools, ..self.shown(vec![installed]).await? })
            }
            McpCommand::Enable { name, is_enabled } => {
                self.admin(user)?;
                let key = self.find(user, &name).await?.key;
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
                let all = self.installations.of(user).await.map_err(|err| err.to_string())?;
                let chosen: Vec<Installed> = all
                    .into_iter()
                    .filter(|known| known.is_enabled && (name.is_empty() || known.key.name == name))
                    .collect();
                if chosen.is_empty() && !name.is_empty() {
                    return Err(unknown(&name));
                }
                for installed in &chosen {
                    self.servers.end(&installed.key);
                    // One that does not start says so in the list.
                    let _ = self.servers.connect(installed).await;
                }
                let installed = self.installations.of(user).await.map_err(|err| err.to_string())?;
                self.shown(
                    installed.into_iter().filter(|known| chosen.iter().any(|one| one.key == known.key)).collect(),
                )
                .await
            }
            McpCommand::Approve { name } => {
                self.admin(user)?;
                let key = self.find(user, &name).await?.key;
                self.installations.approve(&key).await.map_err(|err| err.to_string())?;
                info!(server = name, by = user, "approved what an MCP server offers");
                let installed = self.find(user, &name).await?;
                Ok(McpAnswer { tools: tools(&installed), ..self.shown(vec![installed]).await? })
            }
        }
    }

    /// The tools that a person may call: approved ones of servers that are theirs, or
    /// everybody's.
    pub(crate) async fn tools(&self, user: &str) -> Result<Vec<Arc<dyn Tool>>, String> {
        let installed = self.installations.of(user).await.map_err(|err| err.to_string())?;
        let mut tools: Vec<Arc<dyn Tool>> = Vec::new();
        for installed in installed.into_iter().filter(|installed| installed.is_enabled) {
            for offered in installed.tools.iter().filter(|offered| installed.is_approved(offered)).take(TOOLS) {
                let timeout_ms = u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX).saturating_add(75_000);
                tools.push(Arc::new(McpTool {
                    // Starting it counts too.
                    spec: offered.spec(&installed.key.name, timeout_ms),
                    installed: Installed { tools: Vec::new(), ..installed.clone() },
                    name: offered.name.clone(),
                    servers: self.servers.clone(),
                    installations: Arc::clone(&self.installations),
                    limit: self.limit,
                }));
            }
        }
        Ok(tools)
    }

    /// Starts it once, reads what it offers, and keeps it only if that went well.
    async fn install(&self, user: &str, key: Key, source: String, launch: Launch) -> Result<McpAnswer, String> {
        check_name(&key.name)?;
        check_launch(&launch)?;
        let known = self.installations.of(user).await.map_err(|err| err.to_string())?;
        if known.len() >= SERVERS {
            return Err(format!("{SERVERS} servers are installed already, and that is the limit"));
        }
        if known.iter().any(|known| known.key.name == key.name) {
            return Err(format!("there is a server `{}` already; uninstall it first, or give another name", key.name));
        }
        let installed = Installed {
            key: key.clone(),
            source,
            launch: launch.clone(),
            is_enabled: true,
            tools: Vec::new(),
            approved: Default::default(),
            last_error: String::new(),
            installed_by: user.to_owned(),
            installed_at_ms: now_ms(),
        };
        // Added before it is started, so that what it offers has a place, and taken back
        // if it does not start.
        if !self.installations.add(&installed).await.map_err(|err| err.to_string())? {
            return Err(format!("there is a server `{}` already", key.name));
        }
        let started = start(self.connector.as_ref(), self.installations.as_ref(), &key, &launch);
        match tokio::time::timeout(INSTALL, started)
            .await
            .unwrap_or_else(|_| Err(format!("it did not start within {INSTALL:?}")))
        {
            Ok(connection) => {
                connection.close().await;
                // Whoever agreed to run it is shown what it offers, and may disable it.
                self.installations.approve(&key).await.map_err(|err| err.to_string())?;
                info!(server = key.name, by = user, "installed an MCP server");
                let installed = self.find(user, &key.name).await?;
                Ok(McpAnswer { tools: tools(&installed), ..self.shown(vec![installed]).await? })
            }
            Err(why) => {
                self.installations.remove(&key).await.map_err(|err| err.to_string())?;
                Err(format!("not installed: {why}"))
            }
        }
    }

    fn admin(&self, user: &str) -> Result<(), String> {
        match self.admins.iter().any(|admin| admin == user) {
            true => Ok(()),
            false => Err("only an administrator may do that: CLARA_ADMINS names them".to_owned()),
        }
    }

    /// A server that a person may use; their own before everybody's.
    async fn find(&self, user: &str, name: &str) -> Result<Installed, String> {
        let mut known = self.installations.of(user).await.map_err(|err| err.to_string())?;
        known.retain(|known| known.key.name == name);
        known.sort_by_key(|known| known.key.owner.is_empty());
        known.into_iter().next().ok_or_else(|| unknown(name))
    }

    async fn one(&self, user: &str, name: &str) -> Result<McpAnswer, String> {
        let installed = self.find(user, name).await?;
        self.shown(vec![installed]).await
    }

    async fn shown(&self, installed: Vec<Installed>) -> Result<McpAnswer, String> {
        let mut servers = Vec::with_capacity(installed.len());
        for installed in installed {
            let (running, why) = self.servers.report(&installed.key).await.unwrap_or((Status::Stopped, String::new()));
            let status = if installed.is_enabled { running } else { Status::Disabled };
            let last_error = if why.is_empty() { installed.last_error } else { why };
            servers.push(McpServer {
                name: installed.key.name,
                owner: installed.key.owner,
                source: installed.source,
                launch: masked(installed.launch),
                status,
                tools: u32::try_from(installed.tools.len()).unwrap_or(u32::MAX),
                last_error,
                installed_by: installed.installed_by,
                installed_at_ms: installed.installed_at_ms,
            });
        }
        Ok(McpAnswer { servers, ..McpAnswer::default() })
    }
}

fn unknown(name: &str) -> String {
    format!("there is no server `{name}` of yours; `clara mcp list` names them")
}

fn tools(installed: &Installed) -> Vec<Shown> {
    let shown = |offered: &super::Offered| Shown {
        name: offered.full_name(&installed.key.name),
        description: offered.description.clone(),
        is_approved: installed.is_approved(offered),
    };
    installed.tools.iter().map(shown).collect()
}

/// What may be shown of how a server is reached: values may be secrets.
fn masked(launch: Launch) -> Launch {
    let hide = |values: std::collections::BTreeMap<String, String>| {
        let hidden = |value: String| if value.starts_with("${") { value } else { "***".to_owned() };
        values.into_iter().map(|(name, value)| (name, hidden(value))).collect()
    };
    match launch {
        Launch::Stdio { command, env } => Launch::Stdio { command, env: hide(env) },
        Launch::Http { url, headers } => Launch::Http { url: bus::shown_url(&url), headers: hide(headers) },
    }
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
