//! Over streamable HTTP, for those who have a token. A token says who asks; without one
//! nothing is answered, and without any the server does not start.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use domain::message::Principal;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use secrecy::ExposeSecret;
use service_kit::settings::Settings;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Clara;

/// Shortest token, in bytes: one that nobody guesses.
const TOKEN_BYTES: usize = 20;
/// Longest request, in bytes.
const BODY_BYTES: usize = 1024 * 1024;

/// How long a connection may take to say what it asks.
const HEADERS: Duration = Duration::from_secs(10);
/// Connections at a time.
const CONNECTIONS: usize = 256;
/// Wait before another connection is taken, when none could be.
const PAUSE: Duration = Duration::from_millis(100);
/// How long what is being answered may go on when the server is to stop.
const LAST: Duration = Duration::from_secs(5);

/// Who has which token, by their hashes: so comparing them tells nothing by its time.
#[derive(Clone)]
pub(super) struct Tokens(Arc<Vec<(blake3::Hash, String)>>);

impl Tokens {
    /// Reads `CLARA_MCP_TOKENS`: `user=token` with commas between.
    pub(super) fn read(settings: &Settings) -> Result<Self, String> {
        let given = settings.secret("CLARA_MCP_TOKENS");
        let given = given.ok_or("set CLARA_MCP_TOKENS to `user=token`: nobody is served without a token")?;
        let mut tokens: Vec<(blake3::Hash, String)> = Vec::new();
        let pairs = given.expose_secret().split(',').map(str::trim).filter(|pair| !pair.is_empty());
        for (number, pair) in (1..).zip(pairs) {
            // Which one is wrong is told by its number: either side may be the secret.
            let wrong = |why: &str| format!("CLARA_MCP_TOKENS, pair {number}: {why}");
            let (user, token) = pair.split_once('=').ok_or_else(|| wrong("it must be `user=token`"))?;
            if user.is_empty() || token.len() < TOKEN_BYTES {
                return Err(wrong(&format!("a user and a token of at least {TOKEN_BYTES} characters are needed")));
            }
            let hash = blake3::hash(token.as_bytes());
            if tokens.iter().any(|(known, _)| *known == hash) {
                return Err(wrong("another pair has the same token, and a token must say who asks"));
            }
            tokens.push((hash, user.to_owned()));
        }
        match tokens.is_empty() {
            true => Err("CLARA_MCP_TOKENS names nobody".to_owned()),
            false => Ok(Self(Arc::new(tokens))),
        }
    }

    fn principal(&self, headers: &HeaderMap) -> Option<Principal> {
        let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let token = given.strip_prefix("Bearer ").or_else(|| given.strip_prefix("bearer "))?;
        let hash = blake3::hash(token.trim().as_bytes());
        let (_, user) = self.0.iter().find(|(known, _)| *known == hash)?;
        Some(Principal { user: user.clone(), name: user.clone(), tenant: "local".into() })
    }
}

pub(super) async fn serve(clara: Clara, address: SocketAddr, hosts: Vec<String>, tokens: Tokens) -> anyhow::Result<()> {
    // Pages of elsewhere have no business here, whatever token a browser may hold.
    let own = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"].map(str::to_owned);
    let origins = own.into_iter().chain(hosts.iter().map(|host| format!("https://{host}:*")));
    let mut config =
        StreamableHttpServerConfig::default().with_allowed_origins(origins).with_max_request_body_bytes(BODY_BYTES);
    let stop = config.cancellation_token.clone();
    if !hosts.is_empty() {
        // This machine's own names stay.
        let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        config = config.with_allowed_hosts(hosts.into_iter().chain(own).collect::<Vec<_>>());
    }
    let service =
        StreamableHttpService::new(move || Ok(clara.clone()), Arc::new(LocalSessionManager::default()), config);
    let router = Router::new().nest_service("/mcp", service).layer(middleware::from_fn_with_state(tokens, known));
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("listen on {address}: name another with --http"))?;
    let mut open = JoinSet::new();
    eprintln!("Clara serves MCP at http://{}/mcp", listener.local_addr()?);
    tokio::select! {
        () = accept(listener, router, &mut open) => {}
        // Without a signal to wait for there is none to obey.
        _ = tokio::signal::ctrl_c() => {}
    }
    stop.cancel();
    let _ = tokio::time::timeout(LAST, async { while open.join_next().await.is_some() {} }).await;
    Ok(())
}

/// Serves whoever comes, so many at a time. One that says nothing is not waited for: axum's own
/// server would hold it for ever.
async fn accept(listener: TcpListener, router: Router, open: &mut JoinSet<()>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if open.len() < CONNECTIONS => accepted,
            Some(_) = open.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            // There are no descriptors left, perhaps; some may be soon.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let mut served = hyper::server::conn::http1::Builder::new();
        let served = served.timer(TokioTimer::new()).header_read_timeout(HEADERS);
        let served = served.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        open.spawn(async move {
            // What goes wrong with one is its own business.
            let _ = served.await;
        });
    }
}

/// Lets those in who have a token, and says who they are.
async fn known(State(tokens): State<Tokens>, mut request: Request, next: Next) -> Response {
    match tokens.principal(request.headers()) {
        Some(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        None => (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer realm=\"clara\"")]).into_response(),
    }
}
