//! Authorisation by OAuth 2.1, as MCP has it
//! (<https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization>): discovery,
//! registration, PKCE, refresh are rmcp's; what is kept, and what is refused, is ours.
//!
//! An authorisation may be begun in one process and completed in another: all of it stands in
//! the vault.

use std::sync::Arc;

use async_trait::async_trait;
use domain::untrusted::visible;
use rmcp::transport::auth::{
    AuthError, AuthorizationManager, AuthorizationMetadataSource, CredentialRefreshGuard, CredentialStore,
    OAuthClientConfig, StateStore, StoredAuthorizationState, StoredCredentials,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service_kit::clock::now_ms;
use tracing::warn;

use crate::adapters::vault::{Part, Vault, VaultError};
use crate::ports::{Authorities, Authority, Authorization, Begin, Key};

/// How long a person may take to authorise, in seconds.
const FLOW_SECONDS: u64 = 3600;
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

/// What is known of a server that authorises.
struct Found {
    issuer: Option<String>,
    /// Whether it takes the address of a document as an id.
    takes_documents: bool,
}

pub(crate) struct OAuth {
    pub(crate) vault: Vault,
    /// Where a document describes us (SEP-991), for servers that take its address as our id.
    pub(crate) document: Option<String>,
    /// One renewal at a time in this process, whichever server it is for.
    pub(crate) refreshing: Arc<tokio::sync::Mutex<()>>,
}

impl OAuth {
    /// Who asks for a server with the tokens that are kept; nothing if there are none.
    pub(super) async fn manager(&self, key: &Key, url: &str) -> Result<Option<AuthorizationManager>, String> {
        let kept: Option<StoredCredentials> = self.vault.find(key, url, Part::Credentials).await.map_err(told)?;
        let Some(kept) = kept.filter(|kept| kept.token_response.is_some()) else { return Ok(None) };
        let mut manager = self.prepared(key, url).await?;
        if renewing(&kept).is_some() {
            let found = manager.resolve_metadata().await.map_err(refused)?;
            // What renews a token is given to nobody but whom it is from.
            if found.metadata.issuer != kept.issuer {
                return Err("its authorisation server is another than the one that gave its tokens: begin anew with \
                            `clara mcp oauth-start`"
                    .to_owned());
            }
            manager.set_metadata(found.metadata);
        }
        if !manager.initialize_from_store().await.map_err(refused)? {
            return Ok(None);
        }
        if let Some(client) = self.vault.find::<Client>(key, url, Part::Client).await.map_err(told)? {
            manager.configure_client(client.config()).map_err(refused)?;
        }
        Ok(Some(manager))
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
        let refreshing = Arc::clone(&self.refreshing);
        let kept = Kept { vault: self.vault.clone(), key: key.clone(), url: url.to_owned(), refreshing };
        manager.set_credential_store(kept.clone());
        manager.set_state_store(kept);
        Ok(manager)
    }

    /// Who asks once it is known how, and what was found of whom they ask.
    async fn discovered(&self, key: &Key, url: &str) -> Result<(AuthorizationManager, Found), String> {
        let mut manager = self.prepared(key, url).await?;
        let challenge: Option<String> = self.vault.find(key, url, Part::Challenge).await.map_err(told)?;
        let found = manager.resolve_metadata_from_challenge(challenge.as_deref()).await.map_err(refused)?;
        let methods = found.metadata.code_challenge_methods_supported.as_deref();
        let is_fallback = found.source == AuthorizationMetadataSource::LegacyEndpointFallback;
        // The protocol has clients refuse who does not say that they know PKCE.
        if !is_fallback && !methods.is_some_and(|methods| methods.iter().any(|method| method == "S256")) {
            return Err(
                "its authorisation server does not offer PKCE with S256, without which a code can be stolen".to_owned()
            );
        }
        let documents = found.metadata.additional_fields.get("client_id_metadata_document_supported");
        let of = Found { takes_documents: documents == Some(&true.into()), issuer: found.metadata.issuer.clone() };
        manager.set_metadata(found.metadata);
        Ok((manager, of))
    }
}

#[async_trait]
impl Authorities for OAuth {
    async fn start(&self, key: &Key, url: &str, begun: &Begin) -> Result<String, String> {
        let (mut manager, Found { takes_documents, .. }) = self.discovered(key, url).await?;
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
                Client { id: id.clone(), secret: secret.clone(), scopes: scopes.clone(), redirect_uri }
            }
            (None, Some(document)) if takes_documents => {
                Client { id: document.clone(), secret: None, scopes: scopes.clone(), redirect_uri }
            }
            (None, _) => {
                let config = manager.register_client(NAME, &redirect_uri, &asked).await.map_err(refused)?;
                Client { id: config.client_id, secret: config.client_secret, scopes: scopes.clone(), redirect_uri }
            }
        };
        self.vault.keep(key, url, Part::Pending, &client).await.map_err(told)?;
        manager.configure_client(client.config()).map_err(refused)?;
        let address = manager.get_authorization_url(&asked).await.map_err(refused)?;
        check_address(&address)?;
        Ok(address)
    }

    async fn complete(&self, key: &Key, url: &str, given: &Authorization) -> Result<(), String> {
        let client: Option<Client> = self.vault.find(key, url, Part::Pending).await.map_err(told)?;
        let client = client.ok_or("no authorisation has begun: `clara mcp oauth-start` begins one")?;
        let flow: Option<StoredAuthorizationState> = self.vault.find(key, url, Part::Flow).await.map_err(told)?;
        let (mut manager, found) = self.discovered(key, url).await?;
        // The code is given to nobody but whom somebody agreed with.
        if flow.is_some_and(|flow| flow.expected_issuer != found.issuer) {
            return Err("its authorisation server is another than when this began: begin anew".to_owned());
        }
        manager.configure_client(client.config()).map_err(refused)?;
        let Authorization { code, state, issuer } = given;
        let exchanged = manager.exchange_code_for_token_with_issuer(code, state, issuer.as_deref()).await;
        exchanged.map_err(refused)?;
        // From now on it renews what was given.
        self.vault.keep(key, url, Part::Client, &client).await.map_err(told)?;
        self.vault.drop(key, Part::Pending).await.map_err(told)
    }

    async fn set(&self, key: &Key, url: &str, access: &str, refresh: Option<&str>) -> Result<(), String> {
        let token = json!({"access_token": access, "token_type": "Bearer", "refresh_token": refresh});
        let token = serde_json::from_value(token).map_err(|_| "that is no token".to_owned())?;
        let known: Option<Client> = self.vault.find(key, url, Part::Client).await.map_err(told)?;
        let id = known.map_or_else(|| NAME.to_lowercase(), |client| client.id);
        // Whom it is renewed by, if it can be.
        let issuer = match refresh {
            Some(_) => self.discovered(key, url).await?.1.issuer,
            None => None,
        };
        let credentials = StoredCredentials::new(id, Some(token), Vec::new(), None).with_issuer(issuer);
        self.vault.keep(key, url, Part::Credentials, &credentials).await.map_err(told)
    }

    async fn authority(&self, key: &Key, url: &str) -> Result<Authority, String> {
        let kept: Option<StoredCredentials> = self.vault.find(key, url, Part::Credentials).await.map_err(told)?;
        let flow: Option<StoredAuthorizationState> = self.vault.find(key, url, Part::Flow).await.map_err(told)?;
        Ok(match (kept.and_then(|kept| kept.token_response), flow) {
            (Some(_), _) => Authority::Given,
            (None, Some(_)) => Authority::Begun,
            (None, None) => Authority::None,
        })
    }

    async fn forget(&self, key: &Key) -> Result<(), String> {
        self.vault.forget(key).await.map_err(told)
    }
}

/// Whether a person may be sent there (attack S16): a page over TLS, or on this machine.
fn check_address(address: &str) -> Result<(), String> {
    let url = reqwest::Url::parse(address).map_err(|_| "its authorisation server names no page".to_owned())?;
    let is_local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let is_page = url.scheme() == "https" || (url.scheme() == "http" && is_local);
    // Whoever pastes it into a shell runs nothing by it.
    let is_plain = address.chars().all(|c| c.is_ascii_graphic() && !"`$\\\"'<>|;(){}".contains(c));
    let query = url.query().unwrap_or_default();
    let is_plain = is_plain && (query.is_empty() || query.split('&').all(|part| part.contains('=')));
    match is_page && is_plain {
        true => Ok(()),
        false => Err("its authorisation server leads to an address that nobody should open".to_owned()),
    }
}

/// What renews a token, if something does.
fn renewing(kept: &StoredCredentials) -> Option<String> {
    let token = serde_json::to_value(kept.token_response.as_ref()?).ok()?;
    Some(token.get("refresh_token")?.as_str()?.to_owned())
}

/// An error in words, without secrets: those of servers are cut.
fn refused(err: AuthError) -> String {
    let text = match &err {
        AuthError::AuthorizationRequired => "it has to be authorised anew: `clara mcp oauth-start`".to_owned(),
        AuthError::PkceUnsupported => "its authorisation server does not offer PKCE with S256".to_owned(),
        AuthError::InternalError(why) if why.contains("state not found") => {
            "this answer belongs to no authorisation that has begun, or was used already".to_owned()
        }
        AuthError::HttpError(_) => "its authorisation server cannot be reached".to_owned(),
        other => visible(&other.to_string()),
    };
    text.chars().take(500).collect()
}

fn told(err: VaultError) -> String {
    err.to_string()
}

/// What rmcp keeps of one server.
#[derive(Clone)]
struct Kept {
    vault: Vault,
    key: Key,
    url: String,
    /// Held while tokens are renewed.
    refreshing: Arc<tokio::sync::Mutex<()>>,
}

fn failed(err: VaultError) -> AuthError {
    AuthError::CredentialStoreError(err.to_string())
}

#[async_trait]
impl CredentialStore for Kept {
    async fn load(&self) -> Result<Option<StoredCredentials>, AuthError> {
        self.vault.find(&self.key, &self.url, Part::Credentials).await.map_err(failed)
    }

    async fn save(&self, credentials: StoredCredentials) -> Result<(), AuthError> {
        self.vault.keep(&self.key, &self.url, Part::Credentials, &credentials).await.map_err(failed)
    }

    async fn clear(&self) -> Result<(), AuthError> {
        warn!(server = self.key.name, "the tokens of a server count no more");
        self.vault.drop(&self.key, Part::Credentials).await.map_err(failed)
    }

    async fn on_refresh_token_rejected(&self, rejected: &StoredCredentials) -> Result<(), AuthError> {
        let kept = CredentialStore::load(self).await?;
        // Another replica may have renewed it in this moment.
        match kept.as_ref().and_then(renewing) {
            Some(kept) if Some(&kept) != renewing(rejected).as_ref() => Ok(()),
            _ => self.clear().await,
        }
    }

    async fn acquire_refresh_guard(&self) -> Result<Option<CredentialRefreshGuard>, AuthError> {
        let guard = Arc::clone(&self.refreshing).lock_owned().await;
        Ok(Some(CredentialRefreshGuard::new(guard)))
    }
}

/// One authorisation at a time: who begins another drops the one before.
#[async_trait]
impl StateStore for Kept {
    async fn save(&self, _: &str, state: StoredAuthorizationState) -> Result<(), AuthError> {
        self.vault.keep(&self.key, &self.url, Part::Flow, &state).await.map_err(failed)
    }

    async fn load(&self, csrf_token: &str) -> Result<Option<StoredAuthorizationState>, AuthError> {
        let kept: Option<StoredAuthorizationState> =
            self.vault.find(&self.key, &self.url, Part::Flow).await.map_err(failed)?;
        let now = u64::try_from(now_ms() / 1000).unwrap_or(0);
        let is_meant = |kept: &StoredAuthorizationState| {
            // By their hashes: comparing them tells nothing by its time.
            blake3::hash(kept.csrf_token.as_bytes()) == blake3::hash(csrf_token.as_bytes())
                && now.saturating_sub(kept.created_at) <= FLOW_SECONDS
        };
        Ok(kept.filter(is_meant))
    }

    async fn delete(&self, _: &str) -> Result<(), AuthError> {
        self.vault.drop(&self.key, Part::Flow).await.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack S16.
    #[test]
    fn nobody_is_sent_to_what_is_no_page() {
        for address in [
            "javascript:alert(1)",
            "file:///etc/passwd",
            "http://as.example/authorize",
            "https://as.example/$(calc)",
            "https://as.example/a b",
            "https://as.example/`id`",
            "https://as.example/a?x=y&reboot&z=1",
            "https://as.example/a?x=y&{touch,/tmp/x}=1",
            "",
        ] {
            assert!(check_address(address).is_err(), "{address}");
        }
        for address in ["https://as.example/authorize?a=b%20c&d=e", "http://127.0.0.1:9/authorize?x=y"] {
            check_address(address).unwrap();
        }
    }
}
