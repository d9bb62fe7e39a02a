//! A piece of the web: pages, redirects, a Tavily and a SearXNG, with a ledger of what was
//! asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The key that its Tavily takes.
pub const KEY: &str = "tvly-canary-0123456789";

type Ledger = Arc<Mutex<Vec<String>>>;

pub struct FakeWeb {
    pub address: SocketAddr,
    asked: Ledger,
    server: tokio::task::JoinHandle<()>,
}

impl FakeWeb {
    pub async fn start() -> Self {
        let asked = Ledger::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(serve).with_state(Arc::clone(&asked));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, asked, server }
    }

    /// The paths that were asked for, in their order, with what follows `?`.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for FakeWeb {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(State(asked): State<Ledger>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    asked.lock().unwrap().push(uri.to_string());
    let html = |text: String| ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response();
    let to = |place: &str| (StatusCode::FOUND, [(header::LOCATION, place.to_owned())]).into_response();
    match (method.as_str(), uri.path()) {
        ("GET", "/wombats") => {
            let words = "The wombat digs at night, and sleeps through the day in a burrow of its own. ".repeat(20);
            html(format!(
                "<title>Wombats</title><nav>Home</nav><article><h1>Wombats</h1><p>{words}</p><p>{words}</p></article>"
            ))
        }
        ("GET", "/long") => ([(header::CONTENT_TYPE, "text/plain")], "0123456789".repeat(3000)).into_response(),
        ("GET", "/moved") => to("/wombats"),
        ("GET", "/loop") => to("/loop"),
        ("GET", "/to-metadata") => to("http://169.254.169.254/latest/meta-data"),
        ("GET", "/to-another-port") => to("http://127.0.0.1:1/"),
        ("GET", "/to-file") => to("file:///etc/passwd"),
        ("GET", "/huge") => html("<p>".to_owned() + &"x".repeat(6 * 1024 * 1024)),
        // What nests so deep that parsers break on it, and what takes them for ever.
        ("GET", "/deep") => html(format!("<body><br><br>{}word", "<ins>".repeat(90_000))),
        ("GET", "/slow") => html("<div>".repeat(600_000)),
        ("GET", "/image") => ([(header::CONTENT_TYPE, "image/png")], vec![0x89, b'P', b'N', b'G']).into_response(),
        ("POST", "/search") => tavily(&headers, &body),
        ("GET", "/acme/weather-mcp/HEAD/pyproject.toml") => {
            "[project]\nname = 'weather'\n[project.scripts]\nserve-weather = 'a:b'".into_response()
        }
        ("GET", "/servers") => smithery(&headers, uri.query().unwrap_or_default()),
        ("GET", "/search") => searxng(uri.query().unwrap_or_default()),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn tavily(headers: &HeaderMap, body: &[u8]) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given != format!("Bearer {KEY}") {
        let detail = json!({"detail": {"error": "Unauthorized: missing or invalid API key."}});
        return (StatusCode::UNAUTHORIZED, axum::Json(detail)).into_response();
    }
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let (Some(query), Some(limit)) = (asked["query"].as_str(), asked["max_results"].as_u64()) else {
        return (StatusCode::BAD_REQUEST, axum::Json(json!({"detail": {"error": "Bad request"}}))).into_response();
    };
    let hits: Vec<Value> = (1..=limit).map(|number| hit(query, number)).collect();
    axum::Json(json!({
        "query": query, "answer": format!("In short: {query}."), "images": [], "results": hits, "response_time": "0.1",
    }))
    .into_response()
}

/// As <https://smithery.ai/docs/use/registry> has it.
fn smithery(headers: &HeaderMap, query: &str) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given != format!("Bearer {KEY}") {
        return (StatusCode::UNAUTHORIZED, axum::Json(json!({"error": "Unauthorized"}))).into_response();
    }
    let server = |name: &str, is_deployed| {
        json!({
            "qualifiedName": name, "displayName": "A server", "description": format!("For {query}."),
            "homepage": format!("https://smithery.ai/server/{name}"), "useCount": "12", "isDeployed": is_deployed,
            "createdAt": "2026-01-01T12:00:00Z",
        })
    };
    let servers = [server("exa", true), server("@acme/notes", false)];
    let pages = json!({"currentPage": 1, "pageSize": 10, "totalPages": 1, "totalCount": 2});
    axum::Json(json!({"servers": servers, "pagination": pages})).into_response()
}

fn searxng(query: &str) -> Response {
    if !query.contains("format=json") {
        return StatusCode::FORBIDDEN.into_response();
    }
    let hits: Vec<Value> = (1..=10).map(|number| hit("wombats", number)).collect();
    axum::Json(json!({"query": query, "number_of_results": 0, "results": hits, "answers": []})).into_response()
}

fn hit(query: &str, number: u64) -> Value {
    json!({
        "title": format!("Page {number}"), "url": format!("https://example.org/{number}"),
        "content": format!("All about {query}."), "score": 0.9, "raw_content": null,
    })
}
