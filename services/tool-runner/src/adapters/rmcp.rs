//! Servers that speak MCP, as processes and over streamable HTTP. The only user of the
//! crate rmcp, which bounds a message to 16 MiB.

mod blocks; // What servers give, as text.
#[expect(deprecated, reason = "roots go with the next protocol; servers of today ask for them")]
mod host; // What servers ask of us.
mod oauth; // Authorising.
#[expect(deprecated, reason = "servers of today know no other way to subscribe")]
mod reading;
mod sse; // Servers that know nothing newer. // What servers let people read.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::mcp::{Launch, McpPrompt, McpResource};
use domain::untrusted::visible;
use http::{HeaderName, HeaderValue};
use rmcp::model::{
    CallToolRequestParams, ClientRequest, PaginatedRequestParams, Request, ServerResult, Tool as RawTool,
};
use rmcp::service::{PeerRequestOptions, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthError};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{Peer, RoleClient, ServiceError, ServiceExt};
use serde_json::{Map, Value};
use service_kit::task::{self, TaskKind};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::host::Host;
pub(crate) use self::oauth::OAuth;
use super::process::{Group, Process, expand};
use crate::mcp::{Offered, TOOLS};
use crate::ports::{Connection, Connector, Given, Key, McpError};

/// How long a process has to end when it was told to.
const END: Duration = Duration::from_secs(2);
/// How long a list of tools may take.
const LIST: Duration = Duration::from_secs(30);
/// How many pages a list of tools may have.
const PAGES: usize = 64;
/// How long a server may take to say that it is there, after a call that took too long.
const PING: Duration = Duration::from_secs(5);

/// Starts servers; each process has this folder as its own.
pub(crate) struct RmcpConnector {
    pub(crate) folder: PathBuf,
    pub(crate) oauth: Arc<OAuth>,
}

#[async_trait]
impl Connector for RmcpConnector {
    async fn connect(&self, key: &Key, launch: &Launch) -> Result<Arc<dyn Connection>, McpError> {
        let connection = match launch {
            Launch::Stdio { command, env } => self.process(command, env).await?,
            Launch::Http { url, headers } => self.http(key, url, headers).await?,
        };
        Ok(Arc::new(connection))
    }
}

struct RmcpConnection {
    peer: Peer<RoleClient>,
    host: Host,
    stop: CancellationToken,
    ended: watch::Receiver<bool>,
    /// For whom a server is asked that may want to know it, and where.
    asking: Option<(Arc<OAuth>, Key, String)>,
}

impl RmcpConnector {
    async fn process(&self, command: &[String], env: &BTreeMap<String, String>) -> Result<RmcpConnection, McpError> {
        let Process { stdin, stdout, said, group } =
            Process::start(&self.folder, command, env).map_err(McpError::Start)?;
        let host = Host::new(Some(format!("file://{}", self.folder.display())));
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
        let served = match self.oauth.manager(key, address).await.map_err(McpError::Start)? {
            Some(manager) => {
                let client = AuthClient::new(client()?, manager);
                host.clone().serve(StreamableHttpClientTransport::with_client(client, config)).await
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
            Err(err) => match of_old(&url, named, &host).await {
                Some(service) => Ok(RmcpConnection::new(service, host, None, None)),
                None => Err(McpError::Start(without_url(&err.to_string()))),
            },
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

/// Whether a request failed before it was sent: nobody had the right to send it.
fn is_unasked(err: &(dyn std::error::Error + 'static)) -> bool {
    let mut source = Some(err);
    while let Some(current) = source {
        if current.is::<AuthError>() {
            return true;
        }
        source = current.source();
    }
    false
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

impl RmcpConnection {
    fn new(
        service: RunningService<RoleClient, Host>,
        host: Host,
        group: Option<Group>,
        asking: Option<(Arc<OAuth>, Key, String)>,
    ) -> Self {
        let (peer, stop, (tell, ended)) = (service.peer().clone(), CancellationToken::new(), watch::channel(false));
        let stopped = stop.clone();
        task::spawn(TaskKind::Watch, "mcp-connection", async move {
            let token = service.cancellation_token();
            let waiting = service.waiting();
            tokio::pin!(waiting);
            tokio::select! {
                _ = &mut waiting => {}
                () = stopped.cancelled() => {
                    token.cancel();
                    // The process ends all the same.
                    let _ = tokio::time::timeout(END, waiting).await;
                }
            }
            if let Some(group) = group {
                group.end(END).await;
            }
            let _ = tell.send(true);
        });
        Self { peer, host, stop, ended, asking }
    }

    /// Gives the way up if the server does not even say that it is there.
    fn ping(&self) {
        let (peer, stop) = (self.peer.clone(), self.stop.clone());
        task::spawn(TaskKind::Watch, "ping-mcp-server", async move {
            let asked = async {
                let request = ClientRequest::PingRequest(Default::default());
                let handle = peer.send_cancellable_request(request, PeerRequestOptions::with_timeout(PING)).await?;
                handle.await_response().await
            };
            if !matches!(tokio::time::timeout(PING, asked).await, Ok(Ok(_) | Err(ServiceError::McpError(_)))) {
                stop.cancel();
            }
        });
    }

    async fn list(&self) -> Result<Vec<Offered>, ServiceError> {
        let (mut tools, mut cursor) = (Vec::new(), None);
        for _ in 0..PAGES {
            let page = PaginatedRequestParams::default().with_cursor(cursor);
            let page = self.peer.list_tools(Some(page)).await?;
            tools.extend(page.tools.into_iter().map(offered));
            cursor = page.next_cursor;
            if cursor.is_none() || tools.len() >= TOOLS {
                break;
            }
        }
        Ok(tools)
    }

    /// What an error means; a way that is broken is given up, so that the next call finds
    /// a new one.
    async fn fault(&self, err: ServiceError, limit: Duration) -> McpError {
        if let (Some(challenge), Some((oauth, key, address))) = (err.auth_challenge(), &self.asking) {
            oauth.note_challenge(key, address, challenge).await;
        }
        match err {
            err if err.is_authorization_required() => {
                self.stop.cancel();
                McpError::Unauthorized
            }
            ServiceError::TransportSend(ref failed) if is_unasked(failed.error.as_ref()) => {
                McpError::Refused("it was not asked: its tokens could not be renewed".to_owned())
            }
            // More than was given is wanted for this one call: the others go on.
            err if err.auth_challenge().is_some() => McpError::Unauthorized,
            ServiceError::McpError(refused) => McpError::Refused(visible(&refused.message)),
            ServiceError::Timeout { .. } => {
                self.ping();
                McpError::TimedOut(limit)
            }
            other => {
                self.stop.cancel();
                McpError::Gone(without_url(&other.to_string()))
            }
        }
    }
}

#[async_trait]
impl Connection for RmcpConnection {
    async fn tools(&self) -> Result<Vec<Offered>, McpError> {
        let listed = tokio::time::timeout(LIST, self.list()).await;
        match listed.map_err(|_| McpError::TimedOut(LIST))? {
            Ok(tools) => Ok(tools),
            Err(err) => Err(self.fault(err, LIST).await),
        }
    }

    async fn call(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
        answers: Option<Map<String, Value>>,
        limit: Duration,
        progress: watch::Sender<String>,
    ) -> Result<Given, McpError> {
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let request = ClientRequest::CallToolRequest(Request::new(params));
        // Whatever it says of its progress: after this time it is over, and it is told so.
        let options = PeerRequestOptions::with_timeout(limit);
        let call = self.host.begin(answers, progress);
        let asked = async {
            let handle = self.peer.send_cancellable_request(request, options).await?;
            call.is_named(handle.progress_token.clone());
            handle.await_response().await
        };
        let answer = match asked.await {
            Ok(answer) => answer,
            Err(err) => return Err(self.fault(err, limit).await),
        };
        match answer {
            ServerResult::CallToolResult(result) => {
                let mut texts: Vec<String> = result.content.into_iter().map(blocks::text).collect();
                if let (true, Some(structured)) = (texts.is_empty(), result.structured_content) {
                    texts.push(structured.to_string());
                }
                let (text, is_error) = (texts.join("\n"), result.is_error.unwrap_or(false));
                Ok(Given { text, is_error, questions: call.questions() })
            }
            _ => Err(McpError::Refused("it answered with something that is no result of a call".to_owned())),
        }
    }

    async fn resources(&self) -> Result<Vec<McpResource>, McpError> {
        self.list_resources().await
    }

    async fn read(&self, uri: &str) -> Result<String, McpError> {
        self.read_resource(uri).await
    }

    async fn subscribe(&self, uri: &str, is_wanted: bool) -> Result<(), McpError> {
        self.set_subscribed(uri, is_wanted).await
    }

    async fn prompts(&self) -> Result<Vec<McpPrompt>, McpError> {
        self.list_prompts().await
    }

    async fn prompt(&self, name: &str, arguments: &BTreeMap<String, String>) -> Result<String, McpError> {
        self.fill_prompt(name, arguments).await
    }

    async fn changed(&self) {
        self.host.changed.notified().await;
    }

    async fn ended(&self) {
        // The task that tells it has ended: then so has the server.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    async fn close(&self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(END * 3, self.ended()).await;
    }
}

impl Drop for RmcpConnection {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn offered(tool: RawTool) -> Offered {
    Offered {
        name: tool.name.into_owned(),
        description: tool.description.map(std::borrow::Cow::into_owned).unwrap_or_default(),
        schema: Value::Object(tool.input_schema.as_ref().clone()).to_string(),
        says_read_only: tool.annotations.and_then(|annotations| annotations.read_only_hint).unwrap_or(false),
    }
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
