//! Servers that speak MCP, as processes and over streamable HTTP. The only user of the
//! crate rmcp, which bounds a message to 16 MiB.
//!
//! A process gets no more of the runner's environment than it needs to be found and to
//! find its own cache; it is the leader of a group of its own, and all of the group ends
//! with it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::mcp::Launch;
use domain::untrusted::visible;
use http::{HeaderName, HeaderValue};
use rmcp::model::{
    CallToolRequestParams, ClientRequest, ContentBlock, PaginatedRequestParams, Request, ResourceContents,
    ServerResult, Tool as RawTool,
};
use rmcp::service::{NotificationContext, PeerRequestOptions, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, Peer, RoleClient, ServiceError, ServiceExt};
use serde_json::{Map, Value};
use service_kit::task::{self, TaskKind};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::mcp::{Offered, TOOLS};
use crate::ports::{Connection, Connector, Given, McpError};

/// Variables that a process needs to be found, and to find its own cache.
const PASSED: &[&str] = &["PATH", "HOME", "LANG", "TMPDIR", "USER"];
/// How long a process has to end when it was told to.
const END: Duration = Duration::from_secs(2);
/// How long a list of tools may take.
const LIST: Duration = Duration::from_secs(30);
/// How many pages a list of tools may have.
const PAGES: usize = 64;
/// How long a server may take to say that it is there, after a call that took too long.
const PING: Duration = Duration::from_secs(5);
/// What is kept of what a process says of itself, in bytes.
const SAID: usize = 2000;

/// Starts servers; each process has this folder as its own.
pub(crate) struct RmcpConnector {
    pub(crate) folder: PathBuf,
}

#[async_trait]
impl Connector for RmcpConnector {
    async fn connect(&self, launch: &Launch) -> Result<Arc<dyn Connection>, McpError> {
        let connection = match launch {
            Launch::Stdio { command, env } => self.process(command, env).await?,
            Launch::Http { url, headers } => http(url, headers).await?,
        };
        Ok(Arc::new(connection))
    }
}

/// What a server is told about us, and what we hear from it unasked.
struct Host {
    changed: Arc<Notify>,
}

impl ClientHandler for Host {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

struct RmcpConnection {
    peer: Peer<RoleClient>,
    changed: Arc<Notify>,
    stop: CancellationToken,
    ended: watch::Receiver<bool>,
}

impl RmcpConnector {
    async fn process(&self, command: &[String], env: &BTreeMap<String, String>) -> Result<RmcpConnection, McpError> {
        let start = |why: String| McpError::Start(why);
        let Some((program, arguments)) = command.split_first() else { return Err(start("it has no program".into())) };
        std::fs::create_dir_all(&self.folder).map_err(|err| start(format!("{}: {err}", self.folder.display())))?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir(&self.folder);
        command.envs(PASSED.iter().filter_map(|name| Some((*name, variable(name)?))));
        for (name, value) in env {
            command.env(name, expand(value).map_err(start)?);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|err| start(format!("{program}: {err}")))?;
        let said = Arc::new(Mutex::new(String::new()));
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(start("it has no pipes".into()));
        };
        task::spawn(TaskKind::Watch, "hear-mcp-server", hear(stderr, Arc::clone(&said)));
        let changed = Arc::new(Notify::new());
        let group = Group::of(child);
        match (Host { changed: Arc::clone(&changed) }).serve((stdout, stdin)).await {
            Ok(service) => Ok(RmcpConnection::new(service, changed, Some(group))),
            Err(err) => {
                group.end().await;
                let said = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let said = if said.is_empty() { said } else { format!("; it said: {said}") };
                Err(start(format!("{err}{said}")))
            }
        }
    }
}

async fn http(url: &str, headers: &BTreeMap<String, String>) -> Result<RmcpConnection, McpError> {
    let mut named = HashMap::new();
    for (name, value) in headers {
        let invalid = |_| McpError::Start(format!("the header {name} is none"));
        let header = HeaderName::try_from(name.as_str()).map_err(|err| invalid(err.to_string()))?;
        let value = expand(value).map_err(McpError::Start)?;
        let mut value = HeaderValue::try_from(value).map_err(|err| invalid(err.to_string()))?;
        value.set_sensitive(true);
        named.insert(header, value);
    }
    let url = expand(url).map_err(McpError::Start)?;
    let config = StreamableHttpClientTransportConfig::with_uri(url).custom_headers(named);
    let changed = Arc::new(Notify::new());
    let host = Host { changed: Arc::clone(&changed) };
    match host.serve(StreamableHttpClientTransport::from_config(config)).await {
        Ok(service) => Ok(RmcpConnection::new(service, changed, None)),
        Err(err) if err.is_authorization_required() => {
            Err(McpError::Start("it wants to know who asks: give a header such as Authorization".to_owned()))
        }
        Err(err) => Err(McpError::Start(without_url(&err.to_string()))),
    }
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
    fn new(service: RunningService<RoleClient, Host>, changed: Arc<Notify>, group: Option<Group>) -> Self {
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
                group.end().await;
            }
            let _ = tell.send(true);
        });
        Self { peer, changed, stop, ended }
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
    fn fault(&self, err: ServiceError, limit: Duration) -> McpError {
        match err {
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
        listed.map_err(|_| McpError::TimedOut(LIST))?.map_err(|err| self.fault(err, LIST))
    }

    async fn call(&self, tool: &str, arguments: Map<String, Value>, limit: Duration) -> Result<Given, McpError> {
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let request = ClientRequest::CallToolRequest(Request::new(params));
        // Whatever it says of its progress: after this time it is over, and it is told so.
        let options = PeerRequestOptions::with_timeout(limit);
        let handle = self.peer.send_cancellable_request(request, options).await;
        let handle = handle.map_err(|err| self.fault(err, limit))?;
        match handle.await_response().await.map_err(|err| self.fault(err, limit))? {
            ServerResult::CallToolResult(result) => {
                let mut texts: Vec<String> = result.content.into_iter().map(text).collect();
                if let (true, Some(structured)) = (texts.is_empty(), result.structured_content) {
                    texts.push(structured.to_string());
                }
                Ok(Given { text: texts.join("\n"), is_error: result.is_error.unwrap_or(false) })
            }
            _ => Err(McpError::Refused("it answered with something that is no result of a call".to_owned())),
        }
    }

    async fn changed(&self) {
        self.changed.notified().await;
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

/// What a model reads of a block. What is no text is named.
fn text(block: ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text,
        ContentBlock::Image(image) => {
            format!("[an image of type {}, {} bytes in base64]", image.mime_type, image.data.len())
        }
        ContentBlock::Audio(audio) => {
            format!("[a sound of type {}, {} bytes in base64]", audio.mime_type, audio.data.len())
        }
        ContentBlock::Resource(embedded) => match embedded.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => format!("[{uri}]\n{text}"),
            ResourceContents::BlobResourceContents { uri, blob, .. } => {
                format!("[{uri}, {} bytes in base64]", blob.len())
            }
            _ => "[a resource of a kind that is not known here]".to_owned(),
        },
        ContentBlock::ResourceLink(link) => format!("[{}: {}]", link.name, link.uri),
        _ => "[something of a kind that is not known here]".to_owned(),
    }
}

/// A process with all that it started. However this goes away, they do.
struct Group {
    child: Child,
    /// The process that leads it; kept, since the group may outlive it.
    leader: Option<rustix::process::Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        Self { child, leader }
    }

    /// Tells the group to end, and ends what does not.
    async fn end(mut self) {
        self.signal(rustix::process::Signal::TERM);
        let ended = tokio::time::timeout(END, self.child.wait()).await;
        debug!(in_time = ended.is_ok(), "an MCP server ended");
        // Also when its leader has ended: others of it may be left.
        self.signal(rustix::process::Signal::KILL);
        self.leader = None;
        let _ = self.child.wait().await;
    }

    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(leader) = self.leader {
            // The group may have ended.
            let _ = rustix::process::kill_process_group(leader, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(rustix::process::Signal::KILL);
    }
}

/// Keeps the end of what a process says of itself.
async fn hear(mut stderr: impl tokio::io::AsyncRead + Unpin, said: Arc<Mutex<String>>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut bytes).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_str(&visible(&String::from_utf8_lossy(&bytes[..count])));
        let from = said.ceil_char_boundary(said.len().saturating_sub(SAID));
        said.drain(..from);
    }
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "what a process of somebody else is given of ours is named there")]
    std::env::var(name).ok()
}

/// A value with the runner's own variables in place of `${NAME}`.
fn expand(value: &str) -> Result<String, String> {
    let (mut expanded, mut rest) = (String::new(), value);
    while let Some((before, after)) = rest.split_once("${") {
        let (name, left) = after.split_once('}').ok_or("a ${ has no }")?;
        expanded.push_str(before);
        expanded.push_str(&variable(name).ok_or_else(|| format!("the runner has no variable {name}"))?);
        rest = left;
    }
    Ok(expanded + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_no_address() {
        let text = "error sending request for url (https://mcp.example/?key=secret): refused";
        assert_eq!(without_url(text), "error sending request: refused");
    }

    #[tokio::test]
    async fn all_of_a_group_goes_even_when_its_leader_went_first() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & exit 0"]).process_group(0).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let group = Group::of(child);
        group.end().await;
        // What is left of it would hold this open.
        let read = tokio::time::timeout(Duration::from_secs(30), stdout.read_to_end(&mut Vec::new())).await;
        assert!(matches!(read, Ok(Ok(0))), "{read:?}");
    }

    #[test]
    fn variables_of_the_runner_are_filled_in_by_name() {
        let path = variable("PATH").unwrap();
        assert_eq!(expand("a${PATH}b"), Ok(format!("a{path}b")));
        assert_eq!(expand("plain $PATH"), Ok("plain $PATH".into()));
        assert!(expand("${NO_SUCH_VARIABLE}").unwrap_err().contains("NO_SUCH_VARIABLE"));
        assert!(expand("${PATH").is_err());
    }
}
