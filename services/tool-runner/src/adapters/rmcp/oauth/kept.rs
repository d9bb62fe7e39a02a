//! What rmcp keeps of one server while it authorises, in the vault, and who may renew tokens.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rmcp::transport::auth::{
    AuthError, CredentialRefreshGuard, CredentialStore, StateStore, StoredAuthorizationState, StoredCredentials,
};
use service_kit::clock::now_ms;
use service_kit::task::{self, TaskKind};
use tracing::warn;
use uuid::Uuid;

use crate::adapters::vault::{Part, Vault, VaultError};
use crate::locks::One;
use crate::ports::Key;

/// How long a person may take to authorise, in seconds.
const FLOW_SECONDS: u64 = 3600;

/// How long one replica may take to renew tokens; then it has died.
const RENEWAL_MS: i64 = 60_000;
/// How long a replica waits for another to do so, and how often it looks.
const WAIT: Duration = Duration::from_secs(75);
const LOOK: Duration = Duration::from_millis(100);

/// Whether an authorisation that was begun can still be completed.
pub(super) fn is_open(flow: &StoredAuthorizationState) -> bool {
    let now = u64::try_from(now_ms() / 1000).unwrap_or(0);
    now.saturating_sub(flow.created_at) <= FLOW_SECONDS
}

/// Whether a token is at its end, or is within a minute.
pub(super) fn is_old(kept: &StoredCredentials) -> bool {
    let token = kept.token_response.as_ref().and_then(|token| serde_json::to_value(token).ok());
    let lasts = token.and_then(|token| token.get("expires_in")?.as_u64());
    let now = u64::try_from(now_ms() / 1000).unwrap_or(0);
    kept.token_received_at.zip(lasts).is_some_and(|(received, lasts)| now + 60 >= received.saturating_add(lasts))
}

/// What renews a token, if something does.
pub(super) fn renewing(kept: &StoredCredentials) -> Option<String> {
    let token = serde_json::to_value(kept.token_response.as_ref()?).ok()?;
    Some(token.get("refresh_token")?.as_str()?.to_owned())
}

/// What rmcp keeps of one server.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) vault: Vault,
    pub(super) key: Key,
    pub(super) url: String,
    /// Held while tokens are renewed, in this process; those of all replicas wait for one another
    /// in the database.
    pub(super) renewal: One,
}

/// The right to renew the tokens of a server, which one replica has at a time: a token that
/// renews others is good for once.
pub(super) struct Renewal {
    vault: Vault,
    key: Key,
    by: String,
}

impl Renewal {
    pub(super) async fn take(vault: &Vault, key: &Key) -> Result<Self, AuthError> {
        let (vault, key, by) = (vault.clone(), key.clone(), Uuid::new_v4().to_string());
        let waited = tokio::time::Instant::now();
        loop {
            let now = now_ms();
            if vault.take_renewal(&key, &by, now, now.saturating_add(RENEWAL_MS)).await.map_err(failed)? {
                return Ok(Self { vault, key, by });
            }
            if waited.elapsed() > WAIT {
                return Err(AuthError::CredentialStoreError(
                    "another replica renews the tokens, and does not end".into(),
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        let (vault, key, by) = (self.vault.clone(), self.key.clone(), std::mem::take(&mut self.by));
        task::spawn(TaskKind::Work, "end-renewal", async move {
            // It ends by itself after a while.
            if let Err(err) = vault.give_renewal_up(&key, &by).await {
                warn!(error = %err, "failed to say that the tokens of a server are renewed");
            }
        });
    }
}

fn failed(err: VaultError) -> AuthError {
    AuthError::CredentialStoreError(err.to_string())
}

#[async_trait]
impl CredentialStore for Kept {
    async fn load(&self) -> Result<Option<StoredCredentials>, AuthError> {
        self.vault.find(&self.key, &self.url, Part::Credentials).await.map_err(failed)
    }

    /// A server that was uninstalled while its tokens were renewed has none any more.
    async fn save(&self, credentials: StoredCredentials) -> Result<(), AuthError> {
        self.vault.replace(&self.key, &self.url, Part::Credentials, &credentials).await.map_err(failed)
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
        let here = Arc::clone(&self.renewal).lock_owned().await;
        let everywhere = Renewal::take(&self.vault, &self.key).await?;
        Ok(Some(CredentialRefreshGuard::new((everywhere, here))))
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
        // By their hashes: comparing them tells nothing by its time.
        let of = |token: &str| blake3::hash(token.as_bytes());
        Ok(kept.filter(|kept| of(&kept.csrf_token) == of(csrf_token) && is_open(kept)))
    }

    async fn delete(&self, _: &str) -> Result<(), AuthError> {
        self.vault.drop(&self.key, Part::Flow).await.map_err(failed)
    }
}
