//! An MCP server over streamable HTTP that wants to know who asks, with the server that
//! authorises: discovery, registration, PKCE, codes that are used once, tokens that are
//! renewed. It keeps a ledger, and can misbehave.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use futures::StreamExt;
use futures::channel::mpsc;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

/// The secret of its client `machine-1`, for which nobody opens a page.
pub const SECRET: &str = "machine-secret-canary-0123456789";

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quirk {
    None,
    /// Does not say that it knows PKCE.
    NoPkce,
    /// Sends people there.
    Page(&'static str),
    /// Says that it is another.
    Issuer,
    /// What the server is protected by is told there.
    MetadataAt(String),
    /// The first tokens are over at once, and must be renewed.
    ShortLived,
    /// Breaks off in the middle of the answer to a call.
    BreaksOff,
    /// Speaks the HTTP with server-sent events of 2024-11-05, and nothing newer.
    Old,
}

struct Code {
    challenge: String,
    redirect_uri: String,
}

struct Inner {
    base: String,
    quirk: Quirk,
    asked: Vec<String>,
    codes: HashMap<String, Code>,
    access: Vec<String>,
    refresh: Vec<String>,
    next: u64,
    /// Calls of its tool, with the token that each came with.
    called: Vec<String>,
    /// Where its events go, if it is an old one and somebody listens.
    events: Option<mpsc::UnboundedSender<String>>,
}

type Shared = Arc<Mutex<Inner>>;

pub struct Protected {
    pub address: SocketAddr,
    shared: Shared,
    server: tokio::task::JoinHandle<()>,
}

impl Protected {
    pub async fn start(quirk: Quirk) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Inner {
            base: format!("http://{address}"),
            quirk,
            asked: Vec::new(),
            codes: HashMap::new(),
            access: Vec::new(),
            refresh: Vec::new(),
            next: 0,
            called: Vec::new(),
            events: None,
        }));
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, server }
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// What was asked for, as method and path.
    pub fn asked(&self) -> Vec<String> {
        self.shared.lock().unwrap().asked.clone()
    }

    /// The tokens with which its tool was called.
    pub fn called(&self) -> Vec<String> {
        self.shared.lock().unwrap().called.clone()
    }

    /// Takes this token from now on, as one that somebody was given elsewhere.
    pub fn knows(&self, token: &str) {
        self.shared.lock().unwrap().access.insert(0, token.to_owned());
    }

    /// Takes none of its tokens any more.
    pub fn forgets(&self) {
        self.shared.lock().unwrap().access.clear();
    }

    /// Every token that it ever gave.
    pub fn tokens(&self) -> Vec<String> {
        let inner = self.shared.lock().unwrap();
        (1..=inner.next).flat_map(|number| [format!("at-canary-{number}"), format!("rt-canary-{number}")]).collect()
    }
}

impl Drop for Protected {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn pairs(text: &str) -> HashMap<String, String> {
    let url = format!("http://x/?{text}");
    let url = reqwest::Url::parse(&url).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

async fn serve(State(shared): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut inner = shared.lock().unwrap();
    inner.asked.push(format!("{method} {}", uri.path()));
    let base = inner.base.clone();
    let json = |value: Value| axum::Json(value).into_response();
    match (method.as_str(), uri.path()) {
        ("GET", "/.well-known/oauth-protected-resource" | "/.well-known/oauth-protected-resource/mcp") => {
            json(json!({"resource": format!("{base}/mcp"), "authorization_servers": [base]}))
        }
        ("GET", "/.well-known/oauth-authorization-server") => json(metadata(&base, &inner.quirk)),
        ("POST", "/register") => {
            let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
            let registered = json!({
                "client_id": "client-1", "redirect_uris": asked["redirect_uris"], "client_name": asked["client_name"],
                "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
            });
            (StatusCode::CREATED, axum::Json(registered)).into_response()
        }
        ("GET", "/authorize") => authorize(&mut inner, &pairs(uri.query().unwrap_or_default())),
        ("POST", "/token") => token(&mut inner, &pairs(&String::from_utf8_lossy(&body))),
        ("GET" | "POST", "/mcp" | "/messages") if inner.quirk == Quirk::Old => {
            old(&mut inner, &method, &uri, &headers, &body)
        }
        ("POST", "/mcp") => match mcp(&mut inner, &headers, &body) {
            Ok(Some(answer)) if inner.quirk == Quirk::BreaksOff && !inner.called.is_empty() => {
                let pieces = [Ok(answer.to_string()[..20].to_owned()), Err(std::io::Error::other("broken"))];
                let body = axum::body::Body::from_stream(futures::stream::iter(pieces));
                ([(header::CONTENT_TYPE, "application/json")], body).into_response()
            }
            Ok(Some(answer)) => json(answer),
            Ok(None) => StatusCode::ACCEPTED.into_response(),
            Err(unknown) => *unknown,
        },
        ("GET" | "DELETE", "/mcp") => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn metadata(base: &str, quirk: &Quirk) -> Value {
    let mut metadata = json!({
        "issuer": base, "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"), "registration_endpoint": format!("{base}/register"),
        "response_types_supported": ["code"], "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["none", "client_secret_post"],
        "authorization_response_iss_parameter_supported": true,
    });
    match quirk {
        Quirk::NoPkce => drop(metadata.as_object_mut().unwrap().remove("code_challenge_methods_supported")),
        Quirk::Page(page) => metadata["authorization_endpoint"] = (*page).into(),
        Quirk::Issuer => metadata["issuer"] = "https://another.example".into(),
        _ => {}
    }
    metadata
}

/// Agrees at once, as if somebody had looked at the page.
fn authorize(inner: &mut Inner, asked: &HashMap<String, String>) -> Response {
    let given = |name: &str| asked.get(name).cloned().unwrap_or_default();
    if given("response_type") != "code" || given("code_challenge_method") != "S256" || given("client_id") != "client-1"
    {
        return (StatusCode::BAD_REQUEST, "invalid_request").into_response();
    }
    inner.next += 1;
    let code = format!("code-canary-{}", inner.next);
    let redirect_uri = given("redirect_uri");
    let mut back = reqwest::Url::parse(&redirect_uri).unwrap();
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &given("state"))
        .append_pair("iss", &inner.base);
    inner.codes.insert(code, Code { challenge: given("code_challenge"), redirect_uri });
    (StatusCode::FOUND, [(header::LOCATION, back.to_string())]).into_response()
}

fn token(inner: &mut Inner, asked: &HashMap<String, String>) -> Response {
    let given = |name: &str| asked.get(name).cloned().unwrap_or_default();
    let refused = |why: &str| (StatusCode::BAD_REQUEST, axum::Json(json!({"error": why}))).into_response();
    let lifetime = match given("grant_type").as_str() {
        "authorization_code" => {
            // A code is used once.
            let Some(code) = inner.codes.remove(&given("code")) else { return refused("invalid_grant") };
            let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(given("code_verifier").as_bytes()));
            if challenge != code.challenge || code.redirect_uri != given("redirect_uri") {
                return refused("invalid_grant");
            }
            if given("resource") != format!("{}/mcp", inner.base) {
                return refused("invalid_target");
            }
            if inner.quirk == Quirk::ShortLived { 0 } else { 3600 }
        }
        "refresh_token" => {
            let Some(at) = inner.refresh.iter().position(|known| *known == given("refresh_token")) else {
                return refused("invalid_grant");
            };
            inner.refresh.remove(at);
            inner.access.clear();
            3600
        }
        "client_credentials" => {
            if (given("client_id").as_str(), given("client_secret").as_str()) != ("machine-1", SECRET) {
                return refused("invalid_client");
            }
            if given("resource") != format!("{}/mcp", inner.base) {
                return refused("invalid_target");
            }
            inner.next += 1;
            // What a machine had counts no more, and nothing renews it.
            inner.access = vec![format!("at-canary-{}", inner.next)];
            let lifetime = if inner.quirk == Quirk::ShortLived && inner.next == 1 { 1 } else { 3600 };
            let given = json!({"access_token": inner.access[0], "token_type": "Bearer", "expires_in": lifetime});
            return axum::Json(given).into_response();
        }
        _ => return refused("unsupported_grant_type"),
    };
    inner.next += 1;
    let (access, refresh) = (format!("at-canary-{}", inner.next), format!("rt-canary-{}", inner.next));
    inner.access.push(access.clone());
    inner.refresh.push(refresh.clone());
    axum::Json(json!({
        "access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": lifetime,
    }))
    .into_response()
}

/// Its first event says where messages go, whose answers are events too.
fn old(inner: &mut Inner, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
    let answer = mcp(inner, headers, body);
    match (method.as_str(), uri.path(), answer) {
        (_, _, Err(unknown)) => *unknown,
        ("GET", "/mcp", Ok(_)) => {
            let (tell, told) = mpsc::unbounded();
            tell.unbounded_send("event: endpoint\ndata: /messages\n\n".to_owned()).unwrap();
            inner.events = Some(tell);
            let body = axum::body::Body::from_stream(told.map(Ok::<_, std::convert::Infallible>));
            ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
        }
        ("POST", "/messages", Ok(answer)) => {
            if let (Some(answer), Some(events)) = (answer, &inner.events) {
                let _ = events.unbounded_send(format!("event: message\ndata: {answer}\n\n"));
            }
            StatusCode::ACCEPTED.into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

/// What it answers, if it does; the error is for whom it does not know.
fn mcp(inner: &mut Inner, headers: &HeaderMap, body: &[u8]) -> Result<Option<Value>, Box<Response>> {
    let given = headers.get(header::AUTHORIZATION).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let token = given.strip_prefix("Bearer ").unwrap_or_default().to_owned();
    if !inner.access.contains(&token) {
        let place = match &inner.quirk {
            Quirk::MetadataAt(place) => place.clone(),
            _ => format!("{}/.well-known/oauth-protected-resource/mcp", inner.base),
        };
        let challenge = format!("Bearer resource_metadata=\"{place}\"");
        return Err(Box::new((StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response()));
    }
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let result = match asked["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
            "serverInfo": {"name": "protected", "version": "1"},
        }),
        "tools/list" => json!({"tools": [{
            "name": "whoami", "description": "Tells who asks.", "inputSchema": {"type": "object", "properties": {}},
        }]}),
        "tools/call" => {
            inner.called.push(token);
            json!({"content": [{"type": "text", "text": "you are known"}]})
        }
        "ping" => json!({}),
        _ => return Ok(None),
    };
    Ok(Some(json!({"jsonrpc": "2.0", "id": asked["id"], "result": result})))
}
