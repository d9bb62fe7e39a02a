//! Authorising servers that want to know who asks. What they offer is read, and agreed to, once
//! that is done: as an install does.

use std::sync::Arc;

use domain::mcp::{Authorisation, Launch, McpAnswer, VouchedBy};
use domain::untrusted::visible;
use service_kit::clock::now_ms;
use service_kit::settings::CATALOGUE;
use tracing::info;

use super::link::start;
use super::offer::agreeable;
use super::plugins::unknown;
use super::{INSTALL, Plugins};
use crate::ports::{Authority, Begin, DatabaseError, Installed, Machine, Voucher};
use crate::web::is_trustworthy;

/// Longest address that leads back, code, state, or token, in bytes.
const GIVEN_BYTES: usize = 16 * 1024;

impl Plugins {
    /// A server that is everybody's is authorised for whoever asks, and so with tokens of their
    /// own; for all with `for_all`, by an administrator.
    pub(super) async fn authorise(
        &self,
        user: &str,
        name: &str,
        for_all: bool,
        what: Authorisation,
    ) -> Result<McpAnswer, String> {
        if for_all {
            self.admin(user)?;
        }
        let (installed, url) = self.authorised(user, name, for_all).await?;
        if !installed.is_enabled && what != Authorisation::Status {
            return Err(format!("the server `{name}` is disabled"));
        }
        let key = &installed.key;
        match what {
            Authorisation::Start { redirect_uri, client_id, client_secret } => {
                check_redirect(&redirect_uri)?;
                bounded([client_id.as_ref(), client_secret.as_ref()].into_iter().flatten())?;
                let client = client_id.map(|id| (id, client_secret));
                let text = self.authorities.start(key, &url, &Begin { redirect_uri, client }).await?;
                return Ok(McpAnswer { text, ..McpAnswer::default() });
            }
            Authorisation::Status => {
                let text = self.standing(&installed, &url).await?;
                return Ok(McpAnswer { text, ..McpAnswer::default() });
            }
            Authorisation::Complete(given) => {
                if let Some(why) = given.refusal.as_ref().filter(|_| given.code.is_empty()) {
                    let why: String = visible(why).chars().take(200).collect();
                    return Err(format!("not authorised: the page led back with {why:?}; begin again to agree there"));
                }
                if given.code.is_empty() || given.state.is_empty() {
                    return Err("give the whole address that the page led to: it holds `code` and `state`".to_owned());
                }
                bounded([&given.code, &given.state].into_iter().chain(&given.issuer))?;
                self.authorities.complete(key, &url, &given).await?;
            }
            Authorisation::Machine { client_id, secret, algorithm } => {
                // She asks for herself then, and not for a person.
                self.admin(user)?;
                bounded([&client_id, &secret].into_iter().chain(&algorithm))?;
                let machine = Machine { id: client_id, secret, algorithm, voucher: None };
                self.authorities.machine(key, &url, &machine).await?;
            }
            Authorisation::Enterprise { client_id, secret, provider } => {
                // The provider is asked from here, wherever it is said to be.
                self.admin(user)?;
                let VouchedBy { issuer, client_id: known_as, client_secret, token, is_refresh } = provider;
                bounded([&client_id, &secret, &issuer, &known_as, &token].into_iter().chain(&client_secret))?;
                let voucher = Some(Voucher { issuer, client_id: known_as, client_secret, token, is_refresh });
                let machine = Machine { id: client_id, secret, algorithm: None, voucher };
                self.authorities.machine(key, &url, &machine).await?;
            }
            Authorisation::SetToken { access_token, refresh_token } => {
                for token in [Some(&access_token), refresh_token.as_ref()].into_iter().flatten() {
                    check_token(token)?;
                }
                if variable(&access_token).is_some() {
                    // What stands where the tool runner runs is not for everybody to give away.
                    self.admin(user)?;
                    may_be_told(&access_token)?;
                }
                self.authorities.set(key, &url, &access_token, refresh_token.as_deref()).await?;
            }
        }
        info!(server = name, by = user, for_all, "authorised an MCP server");
        self.read_anew(user, installed).await
    }

    /// Where an authorisation stands, in words.
    async fn standing(&self, installed: &Installed, url: &str) -> Result<String, String> {
        let text = match self.authorities.authority(&installed.key, url).await? {
            Authority::None => "none: `clara mcp oauth-start` begins one",
            Authority::Begun => "begun: somebody must open the address that it gave",
            Authority::Given => "authorised",
        };
        let everybodys = &installed.shared_key();
        let is_shared =
            *everybodys != installed.key && self.authorities.authority(everybodys, url).await? == Authority::Given;
        Ok(if is_shared { format!("{text} (for all: authorised)") } else { text.to_owned() })
    }

    /// The server that is authorised, with its address: one's own, one's part of everybody's, or
    /// everybody's for all.
    async fn authorised(&self, user: &str, name: &str, for_all: bool) -> Result<(Installed, String), String> {
        let known = self.of(user).await?;
        let mut known = known.into_iter().filter(|known| known.key.name == name);
        let installed = if for_all { known.find(|known| known.key.owner.is_empty()) } else { known.next() };
        let installed = installed.ok_or_else(|| unknown(name))?;
        let installed = if installed.key.owner.is_empty() && !for_all { installed.for_one(user) } else { installed };
        match installed.launch.clone() {
            Launch::Http { url, .. } => Ok((installed, url)),
            Launch::Stdio { .. } => Err(format!("`{name}` runs here: it is not authorised over the web")),
        }
    }

    /// Starts it with what it was authorised with; what it offers the first time is agreed to.
    async fn read_anew(&self, user: &str, installed: Installed) -> Result<McpAnswer, String> {
        self.servers.end(&installed.key);
        let started = start(Arc::as_ref(&self.connector), &installed.key, &installed.launch);
        let started = tokio::time::timeout(INSTALL, started).await;
        let started = match started {
            Ok(started) => started.map_err(|why| why.to_string()),
            Err(_) => Err(format!("it did not start within {INSTALL:?}")),
        };
        let told = |err: DatabaseError| err.to_string();
        let (connection, tools) = match started {
            Ok(started) => started,
            Err(why)
                if !installed.is_personal || self.installations.find(&installed.key).await.map_err(told)?.is_some() =>
            {
                return Err(format!("authorised, but {why}"));
            }
            Err(why) => {
                // There is nothing yet that would be asked with it, and nothing to take it back by.
                self.authorities.forget(&installed.key).await?;
                return Err(format!("not authorised, since {why}"));
            }
        };
        connection.close().await;
        let is_first = installed.tools.is_empty() && installed.approved.is_empty();
        if installed.is_personal {
            // From now on it stands before everybody's; not before anything was given.
            let new = Installed { installed_at_ms: now_ms(), ..installed.clone() };
            self.installations.add(&new).await.map_err(told)?;
        }
        self.installations.set_tools(&installed.key, &installed.launch, &tools).await.map_err(told)?;
        // What runs elsewhere with what was given before begins anew.
        self.installations.restart(&installed.key).await.map_err(told)?;
        // What everybody's may do is an administrator's to say, whoever comes first.
        if is_first && (!installed.is_personal || self.is_admin(user)) {
            self.installations
                .approve(&installed.shared_key(), &agreeable(&tools))
                .await
                .map_err(|err| err.to_string())?;
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

fn bounded<'a>(given: impl IntoIterator<Item = &'a String>) -> Result<(), String> {
    match given.into_iter().all(|part| part.len() <= GIVEN_BYTES) {
        true => Ok(()),
        false => Err(format!("it is longer than {GIVEN_BYTES} bytes")),
    }
}

/// Whether something can be a token; the error does not repeat it.
pub(crate) fn check_token(token: &str) -> Result<(), String> {
    let is_bounded = token.len() <= GIVEN_BYTES;
    match is_bounded && !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(format!("a token is a line without spaces, of at most {GIVEN_BYTES} bytes")),
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
