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
    CallToolRequestParams, ClientRequest, ContentBlock, Request, ResourceContents, ServerResult, Tool as RawTool,
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

use crate::mcp::Offered;
use crate::ports::{Connection, Connector, Given, McpError};

/// Variables that a process needs to be found, and to find its own cache.
const PASSED: &[&str] = &["PATH", "HOME", "LANG", "TMPDIR", "USER"];
/// How long a process has to end when it was told to.
const END: Duration = Duration::from_secs(2);
/// How long a list of tools may take.
const LIST: Duration = Duration::from_secs(30);
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
        let group = Group(child);
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
    let config = StreamableHttpClientTransportConfig::with_uri(url).custom_headers(named);
    let changed = Arc::new(Notify::new());
    let host = Host { changed: Arc::clone(&changed) };
    match host.serve(StreamableHttpClientTransport::from_config(config)).await {
        Ok(service) => Ok(RmcpConnection::new(service, changed, None)),
        Err(err) if err.is_authorization_required() => {
            Err(McpError::Start("it wants to know who asks: give a header such as Authorization".to_owned()))
        }
        Err(err) => Err(McpError::Start(err.to_string())),
    }
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

    /// What an error means; a way that is broken is given up, so that the next call finds
    /// a new one.
    fn fault(&self, err: ServiceError, limit: Duration) -> McpError {
        match err {
            ServiceError::McpError(refused) => McpError::Refused(visible(&refused.message)),
            ServiceError::Timeout { .. } => McpError::TimedOut(limit),
            other => {
                self.stop.cancel();
                McpError::Gone(other.to_string())
            }
        }
    }
}

#[async_trait]
impl Connection for RmcpConnection {
    async fn tools(&self) -> Result<Vec<Offered>, McpError> {
        let listed = tokio::time::timeout(LIST, self.peer.list_all_tools()).await;
        let listed = listed.map_err(|_| McpError::TimedOut(LIST))?;
        Ok(listed.map_err(|err| self.fault(err, LIST))?.into_iter().map(offered).collect())
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

/// A process with all that it started.
struct Group(Child);

impl Group {
    /// Tells the group to end, and ends what does not.
    async fn end(mut self) {
        self.signal(rustix::process::Signal::TERM);
        let ended = tokio::time::timeout(END, self.0.wait()).await;
        debug!(in_time = ended.is_ok(), "an MCP server ended");
        self.signal(rustix::process::Signal::KILL);
        let _ = self.0.wait().await;
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let leader = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(leader) = leader {
            // The group may have ended.
            let _ = rustix::process::kill_process_group(leader, signal);
        }
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
    fn variables_of_the_runner_are_filled_in_by_name() {
        let path = variable("PATH").unwrap();
        assert_eq!(expand("a${PATH}b"), Ok(format!("a{path}b")));
        assert_eq!(expand("plain $PATH"), Ok("plain $PATH".into()));
        assert!(expand("${NO_SUCH_VARIABLE}").unwrap_err().contains("NO_SUCH_VARIABLE"));
        assert!(expand("${PATH").is_err());
    }
}
