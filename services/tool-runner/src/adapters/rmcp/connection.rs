//! A connection with one server, and what its errors mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::mcp::{McpPrompt, McpResource};
use domain::untrusted::visible;
use rmcp::model::{
    CallToolRequestParams, CancelledNotification, CancelledNotificationParam, ClientRequest, PaginatedRequestParams,
    Request, RequestId, ServerResult, Tool as RawTool,
};
use rmcp::service::{PeerRequestOptions, RunningService};
use rmcp::transport::auth::AuthError;
use rmcp::transport::streamable_http_client::StreamableHttpError;
use rmcp::{Peer, RoleClient, ServiceError};
use serde_json::{Map, Value};
use service_kit::task::{self, TaskKind};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::host::Host;
use super::oauth::OAuth;
use super::{END, blocks, without_url};
use crate::adapters::process::Group;
use crate::mcp::{Offered, TOOLS};
use crate::ports::{Calling, Connection, Given, Key, McpError};

/// How long a list of tools may take.
const LIST: Duration = Duration::from_secs(30);
/// How many pages a list may have.
const PAGES: usize = 64;
/// How long a server may take to say that it is there.
const PING: Duration = Duration::from_secs(5);

/// What a server lists page by page, until there are at least `enough` or the pages end.
pub(super) async fn all_pages<T, Page>(
    enough: usize,
    page: impl Fn(Option<PaginatedRequestParams>) -> Page,
) -> Result<Vec<T>, ServiceError>
where
    Page: Future<Output = Result<(Vec<T>, Option<String>), ServiceError>>,
{
    let (mut found, mut cursor) = (Vec::new(), None);
    for _ in 0..PAGES {
        let (items, next) = page(Some(PaginatedRequestParams::default().with_cursor(cursor))).await?;
        found.extend(items);
        cursor = next;
        if cursor.is_none() || found.len() >= enough {
            break;
        }
    }
    Ok(found)
}

pub(super) struct RmcpConnection {
    pub(super) peer: Peer<RoleClient>,
    pub(super) host: Host,
    stop: CancellationToken,
    ended: watch::Receiver<bool>,
    /// For whom a server is asked that may want to know it, and where.
    asking: Option<(Arc<OAuth>, Key, String)>,
}

impl RmcpConnection {
    pub(super) fn new(
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
            // Also of one that ended by itself, nobody new is let in while it is cleared away.
            stopped.cancel();
            if let Some(group) = group {
                group.end(END).await;
            }
            let _ = tell.send(true);
        });
        Self { peer, host, stop, ended, asking }
    }

    async fn list(&self) -> Result<Vec<Offered>, ServiceError> {
        // Many offer resources or prompts alone, and do not know the question.
        if self.peer.peer_info().is_some_and(|info| info.capabilities.tools.is_none()) {
            return Ok(Vec::new());
        }
        let page = |from| async move {
            let page = self.peer.list_tools(from).await?;
            Ok((page.tools, page.next_cursor))
        };
        Ok(all_pages(TOOLS, page).await?.into_iter().map(offered).collect())
    }

    /// What an error means; a way that is broken is given up, so that the next call finds
    /// a new one.
    pub(super) async fn fault(&self, err: ServiceError, limit: Duration) -> McpError {
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
            ServiceError::TransportSend(ref failed) if let Some(status) = http_status(failed.error.as_ref()) => {
                // One answer of many: others go on by the same way.
                match status {
                    429 => McpError::Refused("it was asked too often (HTTP 429): try again later".to_owned()),
                    400..=499 => McpError::Refused(format!("it refused that (HTTP {status})")),
                    _ => McpError::Gone(format!("it answered with HTTP {status}")),
                }
            }
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

/// A request whose answer is waited for. If that ends before, since a turn was stopped, its
/// server is told: it may end what nobody hears any more.
struct Unheard {
    peer: Peer<RoleClient>,
    request: Option<RequestId>,
}

impl Unheard {
    fn heard(mut self) {
        self.request = None;
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        let Some(request_id) = self.request.take() else { return };
        let peer = self.peer.clone();
        task::spawn(TaskKind::Work, "cancel-mcp-call", async move {
            let params = CancelledNotificationParam::new(Some(request_id), Some("stopped".to_owned()));
            let told = peer.send_notification(CancelledNotification::new(params).into());
            if !matches!(tokio::time::timeout(PING, told).await, Ok(Ok(()))) {
                debug!("an MCP server could not be told that a call was stopped");
            }
        });
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

    async fn call(&self, tool: &str, arguments: Map<String, Value>, with: Calling) -> Result<Given, McpError> {
        let limit = with.limit;
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let request = ClientRequest::CallToolRequest(Request::new(params));
        // Whatever it says of its progress: after this time it is over, and it is told so.
        let options = PeerRequestOptions::with_timeout(limit);
        let call = self.host.calls.begin(with);
        // What cannot even be handed over was not sent.
        let handle = self.peer.send_cancellable_request(request, options).await.map_err(|_| McpError::Unsent)?;
        call.is_named(handle.progress_token.clone());
        let unheard = Unheard { peer: self.peer.clone(), request: Some(handle.id.clone()) };
        let answer = handle.await_response().await;
        unheard.heard();
        let answer = match answer {
            Ok(answer) => answer,
            Err(err) => {
                let fault = self.fault(err, limit).await;
                return match (fault, call.questions()) {
                    // What it wanted to know is why it refused.
                    (McpError::Refused(text), questions) if !questions.is_empty() => {
                        Ok(Given { text, is_error: true, questions })
                    }
                    (fault, _) => Err(fault),
                };
            }
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

    fn is_ending(&self) -> bool {
        self.stop.is_cancelled()
    }

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

/// The status of an answer that was no result, where a server is asked by HTTP: everything but a
/// challenge, a session that is over, and what broke the way itself.
fn http_status(err: &(dyn std::error::Error + 'static)) -> Option<u16> {
    let mut chain = std::iter::successors(Some(err), |err| err.source());
    chain.find_map(|err| match err.downcast_ref::<StreamableHttpError<reqwest::Error>>()? {
        StreamableHttpError::HttpStatus(failed) => Some(failed.status),
        // rmcp keeps other statuses in words alone: "HTTP 400 Bad Request: …".
        StreamableHttpError::UnexpectedServerResponse(words) => words.strip_prefix("HTTP ")?.get(..3)?.parse().ok(),
        _ => None,
    })
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

#[cfg(test)]
mod tests {
    use rmcp::transport::streamable_http_client::HttpStatusError;

    use super::*;

    #[test]
    fn an_answer_by_http_is_no_end_of_the_way() {
        type Failed = StreamableHttpError<reqwest::Error>;
        let status = |failed: Failed| http_status(&failed);
        assert_eq!(status(HttpStatusError::new(429, None).into()), Some(429));
        assert_eq!(status(Failed::UnexpectedServerResponse("HTTP 400 Bad Request: no".into())), Some(400));
        for broken in [Failed::UnexpectedServerResponse("no JSON".into()), Failed::SessionExpired] {
            assert_eq!(status(broken), None);
        }
    }
}
