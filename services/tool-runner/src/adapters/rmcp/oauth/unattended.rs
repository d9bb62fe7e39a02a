//! Tokens that nobody opens a page for: Clara's own, as a machine (client credentials, SEP-1046),
//! and those of a person for whom their identity provider vouches (SEP-990).

use oauth2::{ClientSecret, RefreshToken};
use rmcp::transport::auth::enterprise::{EmaAuthorizationServer, EmaClientAuthentication, EmaExchangeRequest};
use rmcp::transport::auth::{
    AuthorizationManager, AuthorizationMetadataSource, ClientCredentialsConfig, JwtSigningAlgorithm, OAuthHttpClient,
    OAuthHttpClientFuture, OAuthHttpRequest, StoredCredentials,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service_kit::clock::now_ms;

use super::{Client, Found, OAuth, refused, told};
use crate::adapters::vault::Part;
use crate::ports::{Key, Machine, Voucher};
use crate::web::Endpoints;

/// Largest answer of a token endpoint, in bytes.
const ANSWER: usize = 1 << 20;

/// How somebody proves who they are where nobody opens a page.
#[derive(Serialize, Deserialize)]
pub(super) enum Proof {
    Secret,
    /// A private key, which signs so.
    Key(String),
    /// By a person's identity provider.
    Vouched(Voucher),
}

impl Proof {
    pub(super) fn of(machine: &Machine) -> Self {
        match (&machine.voucher, &machine.algorithm) {
            (Some(voucher), _) => Self::Vouched(voucher.clone()),
            (None, Some(algorithm)) => Self::Key(algorithm.clone()),
            (None, None) => Self::Secret,
        }
    }
}

impl OAuth {
    /// Gets a token, which is then kept.
    pub(super) async fn exchange(
        &self,
        key: &Key,
        url: &str,
        client: &Client,
        manager: AuthorizationManager,
        found: Found,
    ) -> Result<(), String> {
        let (client_id, scopes, resource) = (client.id.clone(), client.scopes.clone(), Some(url.to_owned()));
        let secret = client.secret.clone().unwrap_or_default();
        match &client.machine {
            None => Err("that is no machine".to_owned()),
            Some(Proof::Vouched(voucher)) => {
                let credentials = vouched(client, voucher, url, &found).await?;
                self.vault.keep(key, url, Part::Credentials, &credentials.with_issuer(found.issuer)).await.map_err(told)
            }
            Some(Proof::Secret) => {
                let config =
                    ClientCredentialsConfig::ClientSecret { client_id, client_secret: secret, scopes, resource };
                credentials(manager, config).await
            }
            Some(Proof::Key(algorithm)) => {
                let config = ClientCredentialsConfig::PrivateKeyJwt {
                    client_id,
                    signing_key: secret.into_bytes(),
                    signing_algorithm: signs(algorithm)?,
                    token_endpoint_audience: None,
                    scopes,
                    resource,
                };
                credentials(manager, config).await
            }
        }
    }
}

fn signs(algorithm: &str) -> Result<JwtSigningAlgorithm, String> {
    Ok(match algorithm {
        "ES256" => JwtSigningAlgorithm::ES256,
        "ES384" => JwtSigningAlgorithm::ES384,
        "RS256" => JwtSigningAlgorithm::RS256,
        "RS384" => JwtSigningAlgorithm::RS384,
        "RS512" => JwtSigningAlgorithm::RS512,
        other => return Err(format!("a key does not sign by {other:?}: ES256, ES384, RS256, RS384 or RS512")),
    })
}

async fn credentials(mut manager: AuthorizationManager, config: ClientCredentialsConfig) -> Result<(), String> {
    manager.validate_client_credentials_metadata(&config).map_err(refused)?;
    manager.configure_client_credentials(&config).map_err(refused)?;
    // rmcp's exchange by a key stays on the thread on which it began.
    let exchanged = tokio::task::spawn_blocking(move || {
        tokio::runtime::Handle::current().block_on(manager.exchange_client_credentials(&config)).map(drop)
    });
    exchanged.await.map_err(|err| err.to_string())?.map_err(refused)
}

/// The way to token endpoints, as rmcp takes it.
struct Way(Endpoints);

impl OAuthHttpClient for Way {
    fn execute(&self, asked: OAuthHttpRequest) -> OAuthHttpClientFuture<'_> {
        Box::pin(async move {
            let mut answer = self.0.ask(asked.request.try_into()?).await?;
            let mut response = http::Response::builder().status(answer.status());
            if let Some(headers) = response.headers_mut() {
                headers.extend(answer.headers().clone());
            }
            let mut body = Vec::new();
            while let Some(piece) = answer.chunk().await? {
                body.extend_from_slice(&piece);
                if body.len() > ANSWER {
                    return Err(format!("it answered more than {ANSWER} bytes").into());
                }
            }
            Ok(response.body(body)?)
        })
    }
}

/// Has the identity provider say who somebody is to whoever authorises for the server, who then
/// gives the token.
async fn vouched(client: &Client, voucher: &Voucher, url: &str, found: &Found) -> Result<StoredCredentials, String> {
    let provider = AuthorizationManager::new(&voucher.issuer).await.map_err(refused)?;
    let provider = provider.resolve_metadata().await.map_err(refused)?;
    // What it gave is told to nobody else, whoever else stands at its address.
    let is_itself = provider.metadata.issuer.as_deref().map(|issuer| issuer.trim_end_matches('/'))
        == Some(voucher.issuer.trim_end_matches('/'));
    if provider.source != AuthorizationMetadataSource::AuthorizationServerMetadata || !is_itself {
        return Err(format!("the identity provider {} does not tell where it gives tokens", voucher.issuer));
    }
    let proves = |secret: &Option<String>, proofs: &[String]| {
        let has = |proof: &str| proofs.iter().any(|known| known == proof);
        match secret.clone().filter(|secret| !secret.is_empty()).map(ClientSecret::new) {
            None => EmaClientAuthentication::None,
            Some(secret) if has("client_secret_post") && !has("client_secret_basic") => {
                EmaClientAuthentication::ClientSecretPost(secret)
            }
            Some(secret) => EmaClientAuthentication::ClientSecretBasic(secret),
        }
    };
    let idp = EmaAuthorizationServer::new(&voucher.issuer, provider.metadata.token_endpoint, &voucher.client_id)
        .with_client_authentication(proves(&voucher.client_secret, &[]));
    let issuer = found.issuer.as_deref().ok_or("its authorisation server does not say who it is")?;
    let of_server = EmaAuthorizationServer::new(issuer, &found.token_endpoint, &client.id)
        .with_client_authentication(proves(&client.secret, &found.proofs));
    let refresh = RefreshToken::new(voucher.token.clone());
    let request = match voucher.is_refresh {
        true => EmaExchangeRequest::new(idp, of_server, url, &refresh),
        false => EmaExchangeRequest::new_with_id_token(idp, of_server, url, &voucher.token),
    };
    let (of_idp, of_server) = (Way(Endpoints::of(&voucher.issuer)?), Way(Endpoints::of(url)?));
    let given = request.with_scopes(client.scopes.clone()).exchange(&of_idp, &of_server).await;
    let given = given.map_err(|err| format!("{err}: `clara mcp oauth-enterprise` begins anew"))?;
    let lasts = given.expires_in.map(|lasts| lasts.as_secs());
    let token = json!({"access_token": given.access_token.secret(), "token_type": "Bearer", "expires_in": lasts});
    let token = serde_json::from_value(token).map_err(|_| "that is no token".to_owned())?;
    let now = u64::try_from(now_ms() / 1000).unwrap_or(0);
    Ok(StoredCredentials::new(client.id.clone(), Some(token), given.scopes.into_iter().collect(), Some(now)))
}
