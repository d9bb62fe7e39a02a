//! A model vendor that speaks the true wire over a socket and keeps a ledger.
//!
//! It checks every request as the vendor would and refuses what the vendor
//! would refuse; what it was asked, and what was wrong, can be read.

mod anthropic; // Anthropic's Messages API.
pub mod embeddings; // Vectors of texts.
mod openai; // Chat completions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use data_encoding::BASE64;
use serde_json::Value;
use tokio::net::TcpListener;

/// What the vendor does with a request.
#[derive(Debug, Clone)]
pub enum Act {
    /// Answers with text, in these pieces.
    Say(Vec<String>),
    /// Says something, then calls tools: name and arguments as raw text.
    Call(String, Vec<(String, String)>),
    /// Answers with text that ends at the length limit.
    SayCut(String),
    /// Refuses with a status, headers and a message.
    Refuse(u16, Vec<(&'static str, String)>, String),
    /// Answers with pieces and then drops the connection.
    Cut(Vec<String>),
    /// Begins, and then says nothing more.
    Stall,
    /// Sends bytes that are no event stream of this vendor.
    Garbage,
    /// Waits, then acts.
    After(Duration, Box<Act>),
    /// Sends an error within a stream that began well.
    ErrorInStream(String),
}

impl Act {
    pub fn say(text: impl Into<String>) -> Self {
        Act::Say(vec![text.into()])
    }

    pub fn call(name: &str, arguments: &str) -> Self {
        Act::Call(String::new(), vec![(name.into(), arguments.into())])
    }
}

/// One request that was asked, as the ledger keeps it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub model: String,
    /// Every text of the last user message, joined.
    pub last_user: String,
    /// The images of all user messages, oldest first: media type and bytes.
    pub images: Vec<(String, Vec<u8>)>,
    /// Texts of the tool results after it.
    pub results: Vec<String>,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

/// An image as both vendors want it: of these types, in base64.
fn image(media_type: &str, data: &str) -> Result<(String, Vec<u8>), String> {
    if !["image/png", "image/jpeg", "image/gif", "image/webp"].contains(&media_type) {
        return Err(format!("`{media_type}` is no type of image"));
    }
    let bytes = BASE64.decode(data.as_bytes()).map_err(|err| format!("the image is not base64: {err}"))?;
    Ok((media_type.to_owned(), bytes))
}

type Script = Arc<dyn Fn(&Asked, usize) -> Act + Send + Sync>;

#[derive(Clone)]
struct Shared {
    script: Script,
    asked: Arc<Mutex<Vec<Asked>>>,
    faults: Arc<Mutex<Vec<String>>>,
    /// Texts that were embedded, with the model.
    embedded: Arc<Mutex<Vec<(String, String)>>>,
    keeps: bool,
}

/// The fake vendor, serving both wires.
pub struct FakeModel {
    address: std::net::SocketAddr,
    shared: Shared,
    server: tokio::task::JoinHandle<()>,
}

/// The key that it takes.
pub const KEY: &str = "sk-test-canary-0123456789";

impl FakeModel {
    /// Serves a script: what to do with a request, and its number from 0.
    pub async fn start(script: impl Fn(&Asked, usize) -> Act + Send + Sync + 'static) -> Self {
        Self::serve(Arc::new(script), true).await
    }

    /// The same without a ledger, for loads whose requests do not fit into memory.
    pub async fn start_forgetful(script: impl Fn(&Asked, usize) -> Act + Send + Sync + 'static) -> Self {
        Self::serve(Arc::new(script), false).await
    }

    async fn serve(script: Script, keeps: bool) -> Self {
        let shared = Shared { script, asked: Arc::default(), faults: Arc::default(), embedded: Arc::default(), keeps };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/v1/chat/completions", post(openai::serve))
            .route("/v1/messages", post(anthropic::serve))
            .route("/v1/embeddings", post(embeddings::serve))
            .with_state(shared.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener.tap_io(|io| io.set_nodelay(true).unwrap()), routes).await.unwrap()
        });
        Self { address, shared, server }
    }

    /// Answers everything with `re: <what was said>`.
    pub async fn echo() -> Self {
        Self::start(|asked, _| Act::say(format!("re: {}", asked.last_user))).await
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The settings that make Clara use it as an OpenAI-compatible endpoint.
    pub fn as_openai(&self) -> [(&'static str, String); 4] {
        [
            ("LLM_PROVIDER", "openai".into()),
            ("CUSTOM_OPENAI_BASE_URL", format!("{}/v1", self.url())),
            ("CUSTOM_OPENAI_API_KEY", KEY.into()),
            ("CUSTOM_OPENAI_MODEL", "test-model".into()),
        ]
    }

    /// The settings that make Clara use it as Anthropic.
    pub fn as_anthropic(&self) -> [(&'static str, String); 3] {
        [("LLM_PROVIDER", "anthropic".into()), ("ANTHROPIC_BASE_URL", self.url()), ("ANTHROPIC_API_KEY", KEY.into())]
    }

    /// The settings that make Clara embed by it.
    pub fn as_embeddings(&self) -> [(&'static str, String); 2] {
        [("CLARA_EMBEDDING_BASE_URL", format!("{}/v1", self.url())), ("OPENAI_API_KEY", KEY.into())]
    }

    /// The texts that were embedded, each with the model, in order.
    pub fn embedded(&self) -> Vec<(String, String)> {
        self.shared.embedded.lock().unwrap().clone()
    }

    /// Everything that was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// What was wrong with requests, as the vendor would say it.
    pub fn faults(&self) -> Vec<String> {
        self.shared.faults.lock().unwrap().clone()
    }
}

impl Drop for FakeModel {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    /// Notes a request, decides what to do with it, and waits if that is part of it.
    async fn take(&self, mut asked: Asked, headers: &HeaderMap) -> Act {
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        asked.headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let number = {
            let mut ledger = self.asked.lock().unwrap();
            if self.keeps {
                ledger.push(asked.clone());
            }
            ledger.len().saturating_sub(1)
        };
        let mut act = (self.script)(&asked, number);
        while let Act::After(time, next) = act {
            tokio::time::sleep(time).await;
            act = *next;
        }
        act
    }

    fn fault(&self, why: String) {
        self.faults.lock().unwrap().push(why);
    }
}

/// A streamed response, piece by piece; `ends` well or by a dropped connection.
fn stream(pieces: Vec<String>, ends: Ends) -> Response {
    let (mut sender, body) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        for piece in pieces {
            if sender.write_all(piece.as_bytes()).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        if ends == Ends::Never {
            std::future::pending::<()>().await;
        }
    });
    let bytes = tokio_util::io::ReaderStream::new(body);
    ([("content-type", "text/event-stream")], Body::from_stream(bytes)).into_response()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Well,
    Never,
}

fn refusal(status: u16, headers: Vec<(&'static str, String)>, body: Value) -> Response {
    let mut response = (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn parse(body: &Bytes) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|err| format!("the body is not JSON: {err}"))
}
