//! The scenarios of `@modelcontextprotocol/conformance`: a suite that nobody here wrote, against
//! a whole Clara, as a client and as a server.

use std::process::Command;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use testkit::DEADLINE;
use testkit::process::program;
use testkit::sandbox::Sandbox;

use crate::mcp::servers;
use crate::mcp_server::serve_http;

const SUITE: &str = "node_modules/@modelcontextprotocol/conformance/dist/index.js";

/// Its scenarios of clients: all that it knows of released protocols and of extensions.
const SCENARIOS: &[&str] = &[
    "initialize",
    "tools_call",
    "elicitation-sep1034-client-defaults",
    "sse-retry",
    "auth/metadata-default",
    "auth/metadata-var1",
    "auth/metadata-var2",
    "auth/metadata-var3",
    "auth/basic-cimd",
    "auth/scope-from-www-authenticate",
    "auth/scope-from-scopes-supported",
    "auth/scope-omitted-when-undefined",
    "auth/scope-step-up",
    "auth/scope-retry-limit",
    "auth/token-endpoint-auth-basic",
    "auth/token-endpoint-auth-post",
    "auth/token-endpoint-auth-none",
    "auth/pre-registration",
    "auth/2025-03-26-oauth-metadata-backcompat",
    "auth/2025-03-26-oauth-endpoint-fallback",
    "auth/resource-mismatch",
    "auth/offline-access-scope",
    "auth/offline-access-not-supported",
    "auth/client-credentials-jwt",
    "auth/client-credentials-basic",
    "auth/cross-app-access-complete-flow",
];

#[test]
fn client_scenarios_hold() {
    let folder = tempfile::tempdir().unwrap();
    let mut failed = Vec::new();
    for scenario in SCENARIOS {
        let mut run = Command::new(servers().join("node"));
        run.arg(servers().join(SUITE)).current_dir(folder.path()).env("HOME", folder.path());
        run.arg("client").arg("--command").arg(program("conformance-client")).args(["--timeout", "60000"]);
        let output = run.args(["--scenario", scenario]).output().unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        if !output.status.success() || !said.contains("OVERALL: PASSED") {
            failed.push(format!("{scenario}:\n{said}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// Those that ask for no fixtures of their own: what every server has, and whom it refuses.
const SERVER_SCENARIOS: &[&str] = &[
    "server-initialize",
    "ping",
    "tools-list",
    "resources-list",
    "prompts-list",
    "dns-rebinding-protection",
    "server-sse-multiple-streams",
    "server-sse-polling",
];

/// Adds what the suite cannot: the token that says who asks.
async fn with_token(State((to, token)): State<(String, &'static str)>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut headers = parts.headers;
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    headers.remove("content-length");
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let asked = reqwest::Client::new().request(parts.method, format!("{to}{path}")).headers(headers).body(body);
    let answer = asked.send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    response.headers_mut().unwrap().extend(answer.headers().clone());
    response.headers_mut().unwrap().remove("transfer-encoding");
    // Answers that are streams end when the suite goes.
    let pieces = futures::stream::unfold(answer, async |mut answer| {
        let piece = answer.chunk().await.ok()??;
        Some((Ok::<_, std::convert::Infallible>(piece), answer))
    });
    response.body(Body::from_stream(pieces)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn server_scenarios_hold() {
    const TOKEN: &str = "cli-ann-token-0123456789";
    let sandbox = Sandbox::start().await;
    let (_serving, base) = serve_http(&sandbox, &format!("cli-ann={TOKEN}")).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(with_token).with_state((base, TOKEN));
    let proxy = async { axum::serve(listener, router).await.unwrap() };
    let suite = async {
        let mut failed = Vec::new();
        for scenario in SERVER_SCENARIOS {
            let mut run = tokio::process::Command::new(servers().join("node"));
            run.arg(servers().join(SUITE))
                .current_dir(sandbox.folder())
                .env("HOME", sandbox.folder())
                .kill_on_drop(true);
            run.args(["server", "--url", &format!("http://{address}/mcp"), "--scenario", scenario]);
            let output = tokio::time::timeout(DEADLINE, run.output()).await.unwrap().unwrap();
            let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
            if !output.status.success() || !said.contains(" 0 failed") {
                failed.push(format!("{scenario}:\n{said}"));
            }
        }
        failed
    };
    let failed = tokio::select! {
        failed = suite => failed,
        () = proxy => panic!("the proxy ended"),
    };
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
