//! Authorisation by OAuth 2.1, as MCP has it
//! (<https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization>): discovery,
//! registration, PKCE, refresh are rmcp's; what is kept, and what is refused, is ours.
//!
//! An authorisation may be begun in one process and completed in another: all of it stands in
//! the vault.

mod finding; // Who authorises for a server.
mod kept; // What rmcp keeps of one server.
mod legacy; // Servers that tell at their own root who authorises for them.
mod unattended; // Tokens that nobody opens a page for.

use async_trait::async_trait;
use domain::mcp::Callback;
use rmcp::transport::auth::{AuthorizationManager, OAuthClientConfig, StoredAuthorizationState, StoredCredentials};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::warn;

use self::finding::{ForWhom, Found, check_address, refused, resolved};
use self::kept::{Kept, Renewal, is_old, is_open, renewing};
use self::unattended::Proof;
use crate::adapters::process::expand;
use crate::adapters::vault::{Part, Vault, VaultError};
use crate::locks::Locks;
use crate::mcp::{check_token, variable};
use crate::ports::{Authorities, Authority, Begin, Key, Machine};

/// Longest challenge that is kept, in bytes.
const CHALLENGE_BYTES: usize = 4096;
/// As which we register.
const NAME: &str = "Clara";

/// Who we are to the server that authorises.
#[derive(Serialize, Deserialize)]
struct Client {
    id: String,
    secret: Option<String>,
    scopes: Vec<String>,
    redirect_uri: String,
    /// How we prove who we are where nobody opens a page; else somebody does.
    #[serde(default)]
    machine: Option<Proof>,
}

impl Client {
    fn config(&self) -> OAuthClientConfig {
        let config = OAuthClientConfig::new(&self.id, &self.redirect_uri).with_scopes(self.scopes.clone());
        match &self.secret {
            Some(secret) => config.with_client_secret(secret),
            None => config,
        }
    }
}

pub(crate) struct OAuth {
    vault: Vault,
    /// Where a document describes us (SEP-991), for servers that take its address as our id.
    document: Option<String>,
    /// One renewal at a time for each server.
    renewals: Locks<Key>,
}

impl OAuth {
    pub(crate) fn new(vault: Vault, document: Option<String>) -> Self {
        Self { vault, document, renewals: Locks::default() }
    }

    /// Who asks for a server with the tokens that are kept; nothing if there are none.
    pub(super) async fn manager(&self, key: &Key, url: &str) -> Result<Option<AuthorizationManager>, String> {
        let kept: Option<StoredCredentials> = self.vault.find(key, url, Part::Credentials).await.map_err(told)?;
        let Some(kept) = kept.filter(|kept| kept.token_response.is_some()) else { return Ok(None) };
        let client = self.vault.find::<Client>(key, url, Part::Client).await.map_err(told)?;
        let machine = client.as_ref().filter(|client| client.machine.is_some());
        if let Some(machine) = machine {
            self.renew_unattended(key, url, machine).await?;
        }
        let is_unattended = machine.is_some();
        let mut manager = self.prepared(key, url).await?;
        let (metadata, _) = resolved(&manager, url, None).await?;
        // What renews a token is given to nobody but whom it is from.
        if renewing(&kept).is_some() && metadata.issuer != kept.issuer {
            return Err("its authorisation server is another than the one that gave its tokens: begin anew with \
                        `clara mcp oauth-start`"
                .to_owned());
        }
        manager.set_metadata(metadata);
        if !manager.initialize_from_store().await.map_err(refused)? {
            return Ok(None);
        }
        if let Some(client) = client.filter(|_| !is_unattended) {
            manager.configure_client(client.config()).map_err(refused)?;
        }
        Ok(Some(manager))
    }

    /// Asks for a token anew when one that nobody opened a page for is too old: there is nothing
    /// else that renews it.
    async fn renew_unattended(&self, key: &Key, url: &str, client: &Client) -> Result<(), String> {
        let one = self.renewals.of(key);
        let _one = one.lock().await;
        let _renewal = Renewal::take(&self.vault, key).await.map_err(|err| err.to_string())?;
        let kept: Option<StoredCredentials> = self.vault.find(key, url, Part::Credentials).await.map_err(told)?;
        let Some(kept) = kept.filter(is_old) else { return Ok(()) };
        let (manager, found) = self.discovered(key, url, ForWhom::Machine).await?;
        // A secret is told to nobody but whom it was given for.
        if found.issuer != kept.issuer {
            return Err("its authorisation server is another than the one that gave its tokens: begin anew with \
                        `clara mcp oauth-machine` or `oauth-enterprise`"
                .to_owned());
        }
        self.exchange(key, url, client, manager, found).await
    }

    /// Keeps what a server said of how it is to be authorised, for whoever begins to.
    pub(super) async fn note_challenge(&self, key: &Key, url: &str, challenge: &str) {
        let challenge = &challenge[..challenge.floor_char_boundary(CHALLENGE_BYTES)];
        if let Err(err) = self.vault.keep(key, url, Part::Challenge, &challenge).await {
            warn!(error = %err, "failed to keep how a server is to be authorised");
        }
    }

    async fn prepared(&self, key: &Key, url: &str) -> Result<AuthorizationManager, String> {
        // Addresses near us are asked for only if the server itself is near.
        let mut manager = AuthorizationManager::new(url).await.map_err(refused)?;
        let renewal = self.renewals.of(key);
        let kept = Kept { vault: self.vault.clone(), key: key.clone(), url: url.to_owned(), renewal };
        manager.set_credential_store(kept.clone());
        manager.set_state_store(kept);
        Ok(manager)
    }
}

#[async_trait]
impl Authorities for OAuth {
    async fn start(&self, key: &Key, url: &str, begun: &Begin) -> Result<String, String> {
        let (mut manager, Found { takes_documents, .. }) = self.discovered(key, url, ForWhom::Person).await?;
        let mut scopes = manager.select_initial_scopes(&[]).await;
        let kept: Option<StoredCredentials> = self.vault.find(key, url, Part::Credentials).await.map_err(told)?;
        // Whoever needs more keeps what they have.
        for granted in kept.map(|kept| kept.granted_scopes).unwrap_or_default() {
            if !scopes.is_empty() && !scopes.contains(&granted) {
                scopes.push(granted);
            }
        }
        let asked: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let redirect_uri = begun.redirect_uri.clone();
        let client = match (&begun.client, &self.document) {
            (Some((id, secret)), _) => {
                Client { id: id.clone(), secret: secret.clone(), scopes: scopes.clone(), redirect_uri, machine: None }
            }
            (None, Some(document)) if takes_documents => {
                Client { id: document.clone(), secret: None, scopes: scopes.clone(), redirect_uri, machine: None }
            }
            (None, _) => {
                let config = manager.register_client(NAME, &redirect_uri, &asked).await.map_err(refused)?;
                Client {
                    id: config.client_id,
                    secret: config.client_secret,
                    scopes: scopes.clone(),
                    redirect_uri,
                    machine: None,
                }
            }
        };
        self.vault.keep(key, url, Part::Pending, &client).await.map_err(told)?;
        manager.configure_client(client.config()).map_err(refused)?;
        let address = manager.get_authorization_url(&asked).await.map_err(refused)?;
        check_address(&address)?;
        Ok(address)
    }

    async fn complete(&self, key: &Key, url: &str, given: &Callback) -> Result<(), String> {
        let client: Option<Client> = self.vault.find(key, url, Part::Pending).await.map_err(told)?;
        let client = client.ok_or("no authorisation has begun: `clara mcp oauth-start` begins one")?;
        let flow: Option<StoredAuthorizationState> = self.vault.find(key, url, Part::Flow).await.map_err(told)?;
        let (mut manager, found) = self.discovered(key, url, ForWhom::Person).await?;
        // The code is given to nobody but whom somebody agreed with.
        if flow.is_some_and(|flow| flow.expected_issuer != found.issuer) {
            return Err("its authorisation server is another than when this began: begin anew".to_owned());
        }
        manager.configure_client(client.config()).map_err(refused)?;
        let Callback { code, state, issuer, .. } = given;
        let exchanged = manager.exchange_code_for_token_with_issuer(code, state, issuer.as_deref()).await;
        exchanged.map_err(refused)?;
        // From now on it renews what was given.
        self.vault.keep(key, url, Part::Client, &client).await.map_err(told)?;
        self.vault.drop(key, Part::Pending).await.map_err(told)
    }

    async fn machine(&self, key: &Key, url: &str, machine: &Machine) -> Result<(), String> {
        let (manager, found) = self.discovered(key, url, ForWhom::Machine).await?;
        let client = Client {
            id: machine.id.clone(),
            secret: Some(machine.secret.clone()),
            scopes: manager.select_initial_scopes(&[]).await,
            redirect_uri: String::new(),
            machine: Some(Proof::of(machine)),
        };
        // Tokens are kept beside their client.
        self.vault.keep(key, url, Part::Client, &client).await.map_err(told)?;
        let exchanged = self.exchange(key, url, &client, manager, found).await;
        if exchanged.is_err() {
            self.vault.drop(key, Part::Client).await.map_err(told)?;
        }
        exchanged
    }

    async fn set(&self, key: &Key, url: &str, access: &str, refresh: Option<&str>) -> Result<(), String> {
        let access = match variable(access) {
            Some(name) => {
                let token = expand(access)?.trim_end().to_owned();
                check_token(&token).map_err(|why| format!("{name}: {why}"))?;
                token
            }
            None => access.to_owned(),
        };
        let token = json!({"access_token": access, "token_type": "Bearer", "refresh_token": refresh});
        let token = serde_json::from_value(token).map_err(|_| "that is no token".to_owned())?;
        let known: Option<Client> = self.vault.find(key, url, Part::Client).await.map_err(told)?;
        let id = known.map_or_else(|| NAME.to_lowercase(), |client| client.id);
        // Whom it is renewed by, if it can be.
        let issuer = match refresh {
            Some(_) => self.discovered(key, url, ForWhom::Person).await?.1.issuer,
            None => None,
        };
        let credentials = StoredCredentials::new(id, Some(token), Vec::new(), None).with_issuer(issuer);
        self.vault.keep(key, url, Part::Credentials, &credentials).await.map_err(told)
    }

    async fn authority(&self, key: &Key, url: &str) -> Result<Authority, String> {
        let kept: Option<StoredCredentials> = self.vault.find(key, url, Part::Credentials).await.map_err(told)?;
        let flow: Option<StoredAuthorizationState> = self.vault.find(key, url, Part::Flow).await.map_err(told)?;
        Ok(match (kept.and_then(|kept| kept.token_response), flow.filter(is_open)) {
            (Some(_), _) => Authority::Given,
            (None, Some(_)) => Authority::Begun,
            (None, None) => Authority::None,
        })
    }

    async fn forget(&self, key: &Key) -> Result<(), String> {
        self.vault.forget(key).await.map_err(told)
    }
}

fn told(err: VaultError) -> String {
    err.to_string()
}
