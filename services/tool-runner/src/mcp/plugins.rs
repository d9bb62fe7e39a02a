//! What people do with servers: look, approve, end them, take them away. Nothing runs that its
//! owner has not seen and agreed to.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, Serve};
use domain::mcp::{Launch, McpAnswer, McpCommand, McpRequest, Status};
use domain::message::Principal;
use service_kit::clock::now_ms;
use tracing::info;

use super::installing::{INSTALL, Over};
use super::limits::CallLimits;
use super::tool::BEFORE_CALL;
use super::watcher::{MARK, path_of};
use super::{Servers, shown};
use crate::ports::{Authorities, Authority, Calls, Connector, Installations, Installed, Key, RUNNING, RateLimits};
use crate::web::GitHub;

/// Calls, or days of them, that one answer names.
const LISTED: u32 = 500;

pub(crate) struct Plugins {
    pub(crate) installations: Arc<dyn Installations>,
    pub(crate) calls: Arc<dyn Calls>,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) authorities: Arc<dyn Authorities>,
    pub(crate) servers: Servers,
    pub(crate) github: GitHub,
    /// Users who may install: what is installed runs here.
    pub(crate) admins: Vec<String>,
    /// How long one call may take.
    pub(crate) limit: Duration,
    /// How many calls one person may make, and what administrators have set of it.
    pub(crate) limits: CallLimits,
    pub(crate) rate_limits: Arc<dyn RateLimits>,
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
                let planned = self.plan(&source, &name).await?;
                Ok(McpAnswer { plan: Some(planned), ..McpAnswer::default() })
            }
            McpCommand::Install { source, name, launch, for_all } => {
                self.admin(user)?;
                let owner = if for_all { String::new() } else { user.to_owned() };
                self.install(user, Key { owner, name }, source, launch, Over::Nothing).await
            }
            McpCommand::Uninstall { name } => self.uninstall(user, &name).await,
            McpCommand::List => {
                let installed = self.installations.of(user).await.map_err(|err| err.to_string())?;
                self.shown(user, installed).await
            }
            McpCommand::Tools { name } if name.is_empty() => self.with_all_tools(user).await,
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
                let installed = self.find(user, &name).await?;
                self.installations.restart(&installed.shared_key()).await.map_err(|err| err.to_string())?;
                self.servers.end(&installed.key);
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
                let key = self.find(user, &name).await?.shared_key();
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
                self.installations
                    .set_reloaded(&installed.shared_key(), is_wanted)
                    .await
                    .map_err(|err| err.to_string())?;
                self.one(user, &name).await
            }
            McpCommand::Sampling { name, is_allowed } => {
                self.admin(user)?;
                let key = self.find(user, &name).await?.shared_key();
                self.installations.set_may_sample(&key, is_allowed).await.map_err(|err| err.to_string())?;
                info!(server = name, by = user, is_allowed, "changed whether a server may have words of the model");
                self.one(user, &name).await
            }
            McpCommand::Oauth { name, for_all, what } => self.authorise(user, &name, for_all, what).await,
            McpCommand::Calls { limit } => {
                let mut calls = self.calls.made(user, limit.min(LISTED)).await.map_err(|err| err.to_string())?;
                // What takes longer than a call may, ended with its runner.
                let longest = i64::try_from((self.limit + BEFORE_CALL).as_millis()).unwrap_or(i64::MAX);
                let since = now_ms().saturating_sub(longest);
                for lost in calls.iter_mut().filter(|call| call.error == RUNNING && call.started_at_ms < since) {
                    lost.error = "unknown".to_owned();
                }
                Ok(McpAnswer { calls, ..McpAnswer::default() })
            }
            McpCommand::Limits => self.limits_of(user).await,
            McpCommand::SetLimit(limit) => self.set_limit(user, limit).await,
            McpCommand::DropLimit { user: of, server, tool } => self.drop_limit(user, &of, &server, &tool).await,
            McpCommand::Usage { for_all, limit } => {
                if for_all {
                    self.admin(user)?;
                }
                let usage = self.calls.usage((!for_all).then_some(user), limit.min(LISTED)).await;
                Ok(McpAnswer { usage: usage.map_err(|err| err.to_string())?, ..McpAnswer::default() })
            }
            McpCommand::Resources { name } => self.resources(user, &name).await,
            McpCommand::Read { name, uri } => self.read(user, &name, &uri).await,
            McpCommand::Subscribe { name, uri, is_wanted } => self.subscribe(user, &name, &uri, is_wanted).await,
            McpCommand::Prompts { name } => self.prompts(user, &name).await,
            McpCommand::Prompt { name, prompt, arguments } => self.prompt(user, &name, &prompt, &arguments).await,
        }
    }

    pub(super) fn admin(&self, user: &str) -> Result<(), String> {
        match self.is_admin(user) {
            true => Ok(()),
            false => Err("only an administrator may do that: CLARA_ADMINS names them".to_owned()),
        }
    }

    pub(super) fn is_admin(&self, user: &str) -> bool {
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
            None => Ok(installed.shared_key()),
        }
    }

    /// A server goes for all who use it; what somebody has authorised of everybody's for
    /// themselves goes alone, at their own word.
    async fn uninstall(&self, user: &str, name: &str) -> Result<McpAnswer, String> {
        let installed = self.find(user, name).await?;
        let own = installed.for_one(user).key;
        let is_part = installed.is_personal || (!self.is_admin(user) && self.has_begun(&installed, &own).await?);
        let (key, text) = if is_part {
            (own, format!("`{name}` has nothing of yours any more. It is everybody's, and stays."))
        } else {
            self.admin(user)?;
            (self.undeclared(user, name).await?, format!("`{name}` is gone."))
        };
        self.remove(&key).await?;
        info!(server = name, by = user, "uninstalled an MCP server");
        Ok(McpAnswer { text, ..McpAnswer::default() })
    }

    /// Whether something is kept that somebody has authorised everybody's server with for themselves,
    /// or begun to.
    async fn has_begun(&self, installed: &Installed, own: &Key) -> Result<bool, String> {
        match &installed.launch {
            Launch::Http { url, .. } if installed.key.owner.is_empty() => {
                Ok(self.authorities.authority(own, url).await? != Authority::None)
            }
            _ => Ok(false),
        }
    }

    pub(super) async fn remove(&self, key: &Key) -> Result<(), String> {
        self.servers.end(key);
        // Before it: what it was authorised with must not outlive it.
        self.authorities.forget(key).await?;
        self.installations.remove(key).await.map(|_| ()).map_err(|err| err.to_string())
    }

    pub(super) async fn one(&self, user: &str, name: &str) -> Result<McpAnswer, String> {
        let installed = self.find(user, name).await?;
        self.shown(user, vec![installed]).await
    }

    pub(super) async fn with_tools(&self, user: &str, installed: Installed) -> Result<McpAnswer, String> {
        let tools = self.tools_of(user, &installed).await?;
        Ok(McpAnswer { tools, ..self.shown(user, vec![installed]).await? })
    }

    async fn shown(&self, user: &str, installed: Vec<Installed>) -> Result<McpAnswer, String> {
        let mut servers = Vec::with_capacity(installed.len());
        for installed in installed {
            let (status, why) = self.servers.report(&installed).await.unwrap_or((Status::Stopped, String::new()));
            let last_error = if why.is_empty() { installed.last_error.clone() } else { why };
            let sees = shown::Sees {
                how_it_is_run: (installed.key.owner == user && !installed.is_personal) || self.is_admin(user),
                why_it_failed: installed.key.owner == user || self.is_admin(user),
            };
            servers.push(shown::server(installed, status, last_error, sees));
        }
        Ok(McpAnswer { servers, ..McpAnswer::default() })
    }
}

pub(super) fn unknown(name: &str) -> String {
    format!("there is no server `{name}` of yours; `clara mcp list` names them")
}
