//! Authorising servers that want to know who asks. What they offer is read, and agreed to, once
//! that is done: as an install does.

use std::sync::Arc;

use domain::mcp::{Callback, Launch, McpAnswer};
use service_kit::settings::CATALOGUE;
use tracing::info;

use super::offer::agreeable;
use super::server::start;
use super::{INSTALL, Plugins};
use crate::ports::{Authority, Begin, Installed, Machine};
use crate::web::is_trustworthy;

/// Longest address that leads back, code, state, or token, in bytes.
const GIVEN_BYTES: usize = 16 * 1024;

impl Plugins {
    pub(super) async fn oauth_start(&self, user: &str, name: &str, begin: Begin) -> Result<McpAnswer, String> {
        check_redirect(&begin.redirect_uri)?;
        if let Some((id, secret)) = &begin.client {
            [Some(id), secret.as_ref()].into_iter().flatten().try_for_each(|part| bounded(part))?;
        }
        let (installed, url) = self.authorised(user, name).await?;
        let text = self.authorities.start(&installed.key, &url, &begin).await?;
        Ok(McpAnswer { text, ..McpAnswer::default() })
    }

    pub(super) async fn oauth_complete(&self, user: &str, name: &str, given: Callback) -> Result<McpAnswer, String> {
        let Callback { code, state, issuer } = &given;
        if code.is_empty() || state.is_empty() {
            return Err("give the whole address that the page led to: it holds `code` and `state`".to_owned());
        }
        [Some(code), Some(state), issuer.as_ref()].into_iter().flatten().try_for_each(|part| bounded(part))?;
        let (installed, url) = self.authorised(user, name).await?;
        self.authorities.complete(&installed.key, &url, &given).await?;
        info!(server = name, by = user, "authorised an MCP server");
        self.read_anew(user, installed).await
    }

    pub(super) async fn oauth_status(&self, user: &str, name: &str) -> Result<McpAnswer, String> {
        let (installed, url) = self.authorised(user, name).await?;
        let text = match self.authorities.authority(&installed.key, &url).await? {
            Authority::None => "none: `clara mcp oauth-start` begins one",
            Authority::Begun => "begun: somebody must open the address that it gave",
            Authority::Given => "authorised",
        };
        Ok(McpAnswer { text: text.to_owned(), ..McpAnswer::default() })
    }

    pub(super) async fn oauth_machine(&self, user: &str, name: &str, machine: Machine) -> Result<McpAnswer, String> {
        [Some(&machine.id), Some(&machine.secret), machine.algorithm.as_ref()]
            .into_iter()
            .flatten()
            .try_for_each(|part| bounded(part))?;
        for part in machine
            .voucher
            .iter()
            .flat_map(|by| [&by.issuer, &by.client_id, &by.token].into_iter().chain(&by.client_secret))
        {
            bounded(part)?;
        }
        let (installed, url) = self.authorised(user, name).await?;
        self.authorities.machine(&installed.key, &url, &machine).await?;
        info!(server = name, by = user, "authorised Clara for an MCP server without a page");
        self.read_anew(user, installed).await
    }

    pub(super) async fn oauth_set_token(
        &self,
        user: &str,
        name: &str,
        access: &str,
        refresh: Option<&str>,
    ) -> Result<McpAnswer, String> {
        for token in [Some(access), refresh].into_iter().flatten() {
            check_token(token)?;
        }
        if variable(access).is_some() {
            may_be_told(access)?;
        }
        let (installed, url) = self.authorised(user, name).await?;
        self.authorities.set(&installed.key, &url, access, refresh).await?;
        self.read_anew(user, installed).await
    }

    /// A server with its address, for an administrator.
    async fn authorised(&self, user: &str, name: &str) -> Result<(Installed, String), String> {
        self.admin(user)?;
        let installed = self.find(user, name).await?;
        match &installed.launch {
            Launch::Http { url, .. } => Ok((installed.clone(), url.clone())),
            Launch::Stdio { .. } => Err(format!("`{name}` runs here: it is not authorised over the web")),
        }
    }

    /// Starts it with what it was authorised with; what it offers the first time is agreed to.
    async fn read_anew(&self, user: &str, installed: Installed) -> Result<McpAnswer, String> {
        self.servers.end(&installed.key);
        let started = start(Arc::as_ref(&self.connector), &installed.key, &installed.launch);
        let started = tokio::time::timeout(INSTALL, started).await;
        let started = started.map_err(|_| format!("authorised, but it did not start within {INSTALL:?}"))?;
        let (connection, tools) = started.map_err(|why| format!("authorised, but {why}"))?;
        connection.close().await;
        let is_first = installed.tools.is_empty() && installed.approved.is_empty();
        let stored = self.installations.set_tools(&installed.key, &installed.launch, &tools).await;
        stored.map_err(|err| err.to_string())?;
        if is_first {
            self.installations.approve(&installed.key, &agreeable(&tools)).await.map_err(|err| err.to_string())?;
        }
        let name = installed.key.name;
        self.with_tools(user, self.find(user, &name).await?).await
    }
}

/// An address that leads back here: over TLS, or to this machine.
fn check_redirect(address: &str) -> Result<(), String> {
    let is_plain =
        address.len() <= 2000 && address.chars().all(|c| c.is_ascii_graphic()) && !address.contains(['#', '@', '\\']);
    match is_trustworthy(address) && is_plain {
        true => Ok(()),
        false => Err(format!("{address:?} leads nowhere safe: name https://…, or http://127.0.0.1:<port>/…")),
    }
}

fn bounded(text: &str) -> Result<(), String> {
    match text.len() <= GIVEN_BYTES {
        true => Ok(()),
        false => Err(format!("it is longer than {GIVEN_BYTES} bytes")),
    }
}

/// Whether something can be a token; the error does not repeat it.
pub(crate) fn check_token(token: &str) -> Result<(), String> {
    bounded(token)?;
    match !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic()) {
        true => Ok(()),
        false => Err("a token is a line without spaces".to_owned()),
    }
}

/// Whether every `${NAME}` of a value may be told to a server.
pub(crate) fn may_be_told(value: &str) -> Result<(), String> {
    let mut named = value.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
    let is_ours = |name: &&str| {
        name.starts_with("CLARA_") || CATALOGUE.iter().any(|known| known.name == *name || known.aliases.contains(name))
    };
    match named.find(is_ours) {
        None => Ok(()),
        Some(name) => Err(format!("{name} is one of Clara's own settings: it is told to no server")),
    }
}

/// The variable of the runner that is named in place of a token, as `${NAME}`.
pub(crate) fn variable(token: &str) -> Option<&str> {
    let name = token.strip_prefix("${")?.strip_suffix('}')?;
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.is_empty();
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sent_to_this_machine_or_over_tls_alone() {
        for fine in ["http://127.0.0.1:8123/callback", "http://localhost/x", "https://clara.example/oauth/callback"] {
            check_redirect(fine).unwrap();
        }
        for bad in [
            "http://127.0.0.1.evil.example/",
            "http://evil.example/",
            "javascript:alert(1)",
            "https://a b",
            "http://localhost:80@evil.example/",
            "",
        ] {
            assert!(check_redirect(bad).is_err(), "{bad}");
        }
    }
}
