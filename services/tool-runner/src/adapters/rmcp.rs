//! Starting servers that speak MCP, as processes and over HTTP. rmcp, which speaks for us,
//! bounds a message to 16 MiB.

mod blocks; // What servers give, as text.
mod connection; // One server that is there.
#[expect(deprecated, reason = "roots go with the next protocol; servers of today ask for them")]
mod host; // What servers ask of us.
mod in_work; // The calls that a server works on.
mod oauth; // Authorising.
#[expect(deprecated, reason = "servers of today know no other way to subscribe")]
mod reading; // What servers let people read.
mod sse; // Servers that know nothing newer.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::mcp::Launch;
use http::{HeaderName, HeaderValue};
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::AuthClient;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{RoleClient, ServiceExt};

use self::connection::RmcpConnection;
use self::host::Host;
pub(crate) use self::oauth::OAuth;
use super::guard::Guard;
use super::process::{Process, expand};
use crate::ports::{Connection, Connector, Key, McpError};

/// How long a process has to end when it was told to.
const END: Duration = Duration::from_secs(2);

/// Starts servers; each process has a folder of its own in this one.
pub(crate) struct RmcpConnector {
    pub(crate) folder: PathBuf,
    pub(crate) oauth: Arc<OAuth>,
    /// Ends their processes when this one is killed.
    pub(crate) guard: Arc<Guard>,
}

#[async_trait]
impl Connector for RmcpConnector {
    async fn connect(&self, key: &Key, launch: &Launch) -> Result<Arc<dyn Connection>, McpError> {
        let connection = match launch {
            Launch::Stdio { command, env } => self.process(key, command, env).await?,
            Launch::Http { url, headers } => self.http(key, url, headers).await?,
        };
        Ok(Arc::new(connection))
    }
}

impl RmcpConnector {
    async fn process(
        &self,
        key: &Key,
        command: &[String],
        env: &BTreeMap<String, String>,
    ) -> Result<RmcpConnection, McpError> {
        let folder = self.folder_of(key).map_err(|err| McpError::Start(err.to_string()))?;
        let Process { stdin, stdout, said, group } =
            Process::start(&self.guard, &folder, command, env).map_err(McpError::Start)?;
        let root = reqwest::Url::from_directory_path(&folder).map(String::from);
        let host = Host::new(root.ok());
        match host.clone().serve((stdout, stdin)).await {
            Ok(service) => Ok(RmcpConnection::new(service, host, Some(group), None)),
            Err(err) => {
                group.end(END).await;
                let said = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let said = if said.is_empty() { said } else { format!("; it said: {said}") };
                Err(McpError::Start(format!("{err}{said}")))
            }
        }
    }

    /// Nobody's server finds what another's has left, by chance at least: they run with the same
    /// rights. A person's id never enters a path.
    fn folder_of(&self, key: &Key) -> std::io::Result<PathBuf> {
        let owner = match key.owner.as_str() {
            "" => "everybody".to_owned(),
            owner => blake3::hash(owner.as_bytes()).to_hex()[..16].to_owned(),
        };
        std::path::absolute(self.folder.join(owner).join(&key.name))
    }

    async fn http(
        &self,
        key: &Key,
        address: &str,
        headers: &BTreeMap<String, String>,
    ) -> Result<RmcpConnection, McpError> {
        let mut named = HashMap::new();
        for (name, value) in headers {
            let invalid = |_| McpError::Start(format!("the header {name} is none"));
            let header = HeaderName::try_from(name.as_str()).map_err(|err| invalid(err.to_string()))?;
            let value = expand(value).map_err(McpError::Start)?;
            let mut value = HeaderValue::try_from(value).map_err(|err| invalid(err.to_string()))?;
            value.set_sensitive(true);
            named.insert(header, value);
        }
        let url = expand(address).map_err(McpError::Start)?;
        let config = StreamableHttpClientTransportConfig::with_uri(url.as_str()).custom_headers(named.clone());
        let host = Host::new(None);
        let authorised = self.oauth.manager(key, address).await.map_err(McpError::Start)?;
        let authorised = authorised.map(|manager| Ok(AuthClient::new(client()?, manager))).transpose()?;
        let served = match &authorised {
            Some(client) => {
                host.clone().serve(StreamableHttpClientTransport::with_client(client.clone(), config)).await
            }
            None => host.clone().serve(StreamableHttpClientTransport::from_config(config)).await,
        };
        match served {
            Ok(service) => {
                let asking = Some((Arc::clone(&self.oauth), key.clone(), address.to_owned()));
                Ok(RmcpConnection::new(service, host, None, asking))
            }
            Err(err) if err.is_authorization_required() || err.auth_challenge().is_some() => {
                if let Some(challenge) = err.auth_challenge() {
                    self.oauth.note_challenge(key, address, challenge).await;
                }
                Err(McpError::Unauthorized)
            }
            Err(err) => {
                // When the token is over, so is the way: the next one has another.
                if let Some(client) = &authorised
                    && let Ok(token) = client.get_access_token().await
                    && let Ok(mut bearer) = HeaderValue::try_from(format!("Bearer {token}"))
                {
                    bearer.set_sensitive(true);
                    named.insert(http::header::AUTHORIZATION, bearer);
                }
                match of_old(&url, named, &host).await {
                    Some(service) => Ok(RmcpConnection::new(service, host, None, None)),
                    None => Err(McpError::Start(without_url(&err.to_string()))),
                }
            }
        }
    }
}

/// A server that knows nothing newer than server-sent events, if it is one.
async fn of_old(
    url: &str,
    headers: HashMap<HeaderName, HeaderValue>,
    host: &Host,
) -> Option<RunningService<RoleClient, Host>> {
    let pair = sse::open(url, headers.into_iter().collect()).await.ok()?;
    host.clone().serve(pair).await.ok()
}

/// What asks on behalf of somebody who is authorised: tokens follow no redirect.
fn client() -> Result<reqwest::Client, McpError> {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
    client.map_err(|err| McpError::Start(err.to_string()))
}

/// An error without the address, which may hold a key.
fn without_url(text: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(" for url (") {
        plain.push_str(before);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_no_address() {
        let text = "error sending request for url (https://mcp.example/?key=secret): refused";
        assert_eq!(without_url(text), "error sending request: refused");
    }
}
