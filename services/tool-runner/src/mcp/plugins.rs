//! What people do with servers: look, approve, end them, take them away. Nothing runs that its
//! owner has not seen and agreed to.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, Serve};
use domain::mcp::{Callback, McpAnswer, McpCommand, McpRequest, Status, VouchedBy};
use domain::message::Principal;
use domain::tool::ToolSpec;
use tracing::{info, warn};

use super::installing::{INSTALL, look};
use super::limits::CallLimits;
use super::source::plan;
use super::tool::{BEFORE_CALL, McpTool};
use super::watcher::{MARK, path_of};
use super::{Offered, Servers, shown};
use crate::ports::{Authorities, Begin, Connector, Installations, Installed, Key, Machine, Voucher};
use crate::registry::Tool;

/// Tools of servers that a turn chooses from and searches among, at most, and all that they say of
/// themselves, in bytes: every turn's journal holds them.
const OFFERED: usize = 512;
const OFFERED_BYTES: usize = 512 * 1024;

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
                let key = self.find(user, &name).await?.key;
                self.installations.restart(&key).await.map_err(|err| err.to_string())?;
                self.servers.end(&key);
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
            McpCommand::OauthEnterprise { name, client_id, secret, provider } => {
                let VouchedBy { issuer, client_id: known_as, client_secret, token, is_refresh } = provider;
                let voucher = Some(Voucher { issuer, client_id: known_as, client_secret, token, is_refresh });
                self.oauth_machine(user, &name, Machine { id: client_id, secret, algorithm: None, voucher }).await
            }
            McpCommand::OauthMachine { name, client_id, secret, algorithm } => {
                self.oauth_machine(user, &name, Machine { id: client_id, secret, algorithm, voucher: None }).await
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
    pub(super) async fn of(&self, user: &str) -> Result<Vec<Installed>, String> {
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
