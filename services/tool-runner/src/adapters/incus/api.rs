//! Incus's REST API over its socket, as far as runs need it
//! (<https://linuxcontainers.org/incus/docs/main/rest-api/>).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use service_kit::task::{self, TaskKind};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::super::containers::PATIENCE;
use crate::sandbox::Printed;

/// Largest answer that is read, in bytes.
const ANSWER: usize = 4 << 20;
/// Largest piece of what is printed, in bytes.
const PIECE: usize = 1 << 20;
/// The streams of a command, as the daemon calls them.
const STREAMS: [&str; 4] = ["0", "1", "2", "control"];

/// What the daemon does not do, in its words.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("there is none of that name")]
    NotFound,
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Unreached(String),
}

fn unreached(err: impl std::error::Error) -> Failed {
    let causes = std::iter::successors(err.source(), |cause| cause.source()).map(|cause| format!(": {cause}"));
    Failed::Unreached(format!("{err}{}", causes.collect::<String>()))
}

#[derive(Clone)]
pub(super) struct Api {
    socket: PathBuf,
    client: Client,
    /// Whoever starts or stops an instance: a daemon that does both at the same time was seen to
    /// hang until one of them had taken too long (Incus 6.0.4).
    changes: Arc<Mutex<()>>,
}

impl Api {
    pub(super) fn new(socket: &Path) -> Result<Self, Failed> {
        let client = Client::builder().unix_socket(socket).timeout(PATIENCE * 2).build().map_err(unreached)?;
        Ok(Self { socket: socket.to_owned(), client, changes: Arc::default() })
    }

    /// What stands at a path, such as `/1.0`.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failed> {
        self.ask(Method::GET, path, &Value::Null).await.map(|mut answer| answer["metadata"].take())
    }

    /// Has something done, to its end.
    pub(super) async fn does(&self, method: Method, path: &str, body: &Value) -> Result<(), Failed> {
        let answer = self.ask(method, path, body).await?;
        let Some(operation) = answer["operation"].as_str().filter(|operation| !operation.is_empty()) else {
            return Ok(());
        };
        let ended = self.get(&format!("{operation}/wait?timeout={}", PATIENCE.as_secs())).await?;
        match ended["status_code"].as_u64() {
            Some(200) => Ok(()),
            _ => Err(Failed::Refused(match ended["err"].as_str() {
                Some(why) if !why.is_empty() => why.to_owned(),
                _ => format!("it is {} after {} s", ended["status"], PATIENCE.as_secs()),
            })),
        }
    }

    /// Starts or stops an instance, when nobody else of this runner does. What the daemon has
    /// begun is waited for also when nobody waits for this any more.
    pub(super) async fn change(&self, instance: &str, state: Value) -> Result<(), Failed> {
        let (api, path) = (self.clone(), format!("/1.0/instances/{instance}/state"));
        let alone = Arc::clone(&self.changes).lock_owned().await;
        let changed = task::spawn(TaskKind::Work, "change-instance", async move {
            let _alone = alone;
            api.does(Method::PUT, &path, &state).await
        });
        changed.await.map_err(unreached)?
    }

    /// Puts a folder or an empty file into an instance that is not running. `kind` is
    /// "directory" or "file".
    pub(super) async fn put(&self, instance: &str, kind: &str, path: &str) -> Result<(), Failed> {
        let request = self.client.post(format!("http://incus/1.0/instances/{instance}/files?path={path}"));
        read(request.header("X-Incus-type", kind).send().await.map_err(unreached)?).await.map(drop)
    }

    /// Starts a command in an instance.
    pub(super) async fn exec(&self, instance: &str, body: &Value) -> Result<Exec, Failed> {
        let answer = self.ask(Method::POST, &format!("/1.0/instances/{instance}/exec"), body).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let operation = text(&answer["operation"]);
        let mut streams = Vec::new();
        for name in STREAMS {
            let secret = text(&answer["metadata"]["metadata"]["fds"][name]);
            streams.push(self.connect(&format!("{operation}/websocket?secret={secret}")).await?);
        }
        let streams = <[Stream; 4]>::try_from(streams).map_err(|_| Failed::Refused("it gave no streams".to_owned()))?;
        Ok(Exec { api: self.clone(), operation, streams })
    }

    async fn connect(&self, path: &str) -> Result<Stream, Failed> {
        let socket = UnixStream::connect(&self.socket).await.map_err(unreached)?;
        let config = WebSocketConfig::default().max_message_size(Some(PIECE)).max_frame_size(Some(PIECE));
        let url = format!("ws://incus{path}");
        let connected = tokio_tungstenite::client_async_with_config(url, socket, Some(config)).await;
        Ok(connected.map_err(unreached)?.0)
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failed> {
        let mut request = self.client.request(method, format!("http://incus{path}"));
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        read(request.send().await.map_err(unreached)?).await
    }
}

/// An answer, if it is no error.
async fn read(mut response: reqwest::Response) -> Result<Value, Failed> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(unreached)? {
        if bytes.len() + piece.len() > ANSWER {
            return Err(Failed::Unreached(format!("its answer has more than {ANSWER} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    let answer: Value = serde_json::from_slice(&bytes).map_err(unreached)?;
    match (answer["type"].as_str(), answer["error_code"].as_u64()) {
        (Some("error"), Some(404)) => Err(Failed::NotFound),
        (Some("error"), _) => Err(Failed::Refused(answer["error"].as_str().unwrap_or("no reason given").to_owned())),
        _ => Ok(answer),
    }
}

type Stream = WebSocketStream<UnixStream>;

/// A command that was started. It has no more input when this is dropped.
pub(super) struct Exec {
    api: Api,
    operation: String,
    streams: [Stream; 4],
}

impl Exec {
    /// Gives it this to read, and its status once it has ended and all that it printed was read.
    pub(super) async fn ended(&mut self, given: &[u8], printed: &Printed) -> Result<i64, Failed> {
        let [input, out, err, control] = &mut self.streams;
        for piece in given.chunks(PIECE / 2) {
            input.send(Message::binary(piece.to_vec())).await.map_err(unreached)?;
        }
        let hear = async |stream: &mut Stream| {
            while let Some(Ok(message)) = stream.next().await {
                match message {
                    Message::Binary(piece) => printed.push(&piece),
                    Message::Text(_) | Message::Close(_) => break,
                    _ => {}
                }
            }
        };
        // The daemon asks on each whether somebody is there.
        let attends = async |stream: &mut Stream| {
            while let Some(Ok(_)) = stream.next().await {}
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = async { tokio::join!(hear(out), hear(err)) } => {}
            () = attends(input) => {}
            () = attends(control) => {}
        }
        let ended = self.api.get(&format!("{}/wait?timeout={}", self.operation, PATIENCE.as_secs())).await?;
        let status = ended["metadata"]["return"].as_i64();
        status.ok_or_else(|| Failed::Refused(format!("it has no status: {}", ended["err"])))
    }
}

/// The body that starts a command as somebody, in a folder.
pub(super) fn command(
    command: &[String],
    environment: impl Iterator<Item = (&'static str, &'static str)>,
    user: [u32; 2],
    folder: &str,
) -> Value {
    let environment: serde_json::Map<String, Value> =
        environment.map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    json!({
        "command": command, "environment": environment, "user": user[0], "group": user[1], "cwd": folder,
        "interactive": false, "wait-for-websocket": true,
    })
}
