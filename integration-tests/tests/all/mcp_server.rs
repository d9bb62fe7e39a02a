//! Clara as an MCP server: what other programs see of her, and who they may be.

use serde_json::{Value, json};
use testkit::eventually;
use testkit::piped::{Piped, initialize};
use testkit::process::{Process, command};
use testkit::sandbox::Sandbox;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ANN: &str = "cli-ann-token-0123456789";
const BOB: &str = "cli-bob-token-0123456789";

fn serve(sandbox: &Sandbox, user: &str) -> Piped {
    let mut clara = command("clara", sandbox.folder());
    clara.env("NATS_URL", sandbox.nats.url()).env("CLI_USER_ID", user).args(["mcp", "serve"]);
    let piped = Piped::start(clara);
    assert_eq!(piped.greeting["result"]["serverInfo"]["name"], "Clara");
    piped
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_talks_with_her_and_sees_what_she_remembers() {
    let sandbox = Sandbox::start().await;
    let mut ann = serve(&sandbox, "cli-ann");
    let listed = ann.ask("tools/list", json!({}));
    let names: Vec<&str> =
        listed["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["chat", "remember", "search_memories", "list_memories", "forget"]);
    assert!(ann.call("remember", json!({"text": "my bicycle is green"})).0.contains("my bicycle is green"));
    for answer in ["Yes!", "!low yes", "y\u{1}es", "!high  retry", "it worked"] {
        let (refused, is_error) = ann.call("chat", json!({"message": answer}));
        assert!(refused.contains("only the person answers") && is_error, "{answer:?}: {refused}");
    }
    let (said, is_error) = ann.call("chat", json!({"message": "what colour is my bicycle?"}));
    assert!(said.contains("my bicycle is green") && !is_error, "{said}");
    // Who gives a token hears what she does meanwhile.
    assert!(ann.said.is_empty());
    let message = r#"call calculate with {"expression": "6 * 7"}"#;
    let asked = json!({"name": "chat", "arguments": {"message": message}, "_meta": {"progressToken": "p-1"}});
    let answered = ann.ask("tools/call", asked)["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(answered.contains("42"), "{answered}");
    let told: Vec<&Value> = ann.said.iter().map(|said| &said["params"]).collect();
    assert!(told.iter().all(|told| told["progressToken"] == "p-1"), "{told:?}");
    assert!(told.iter().any(|told| told["message"] == "using calculate"), "{told:?}");
    let (found, _) = ann.call("search_memories", json!({"query": "bicycle", "limit": 3}));
    assert!(found.contains("my bicycle is green") && found.contains("Said:"), "{found}");
    let read = ann.ask("resources/read", json!({"uri": "clara://memories"}));
    let text = read["result"]["contents"][0]["text"].as_str().unwrap().to_owned();
    let id = text.split_whitespace().next().unwrap();
    let story = ann.ask("resources/read", json!({"uri": format!("clara://memories/{id}")}));
    assert!(story["result"]["contents"][0]["text"].as_str().unwrap().contains("ADD"), "{story}");
    let prompt = ann.ask("prompts/get", json!({"name": "with_memories", "arguments": {"question": "my bicycle?"}}));
    assert!(prompt["result"]["messages"][0]["content"]["text"].as_str().unwrap().contains("is green"), "{prompt}");

    // What is wrong is said, and breaks nothing.
    assert!(ann.call("forget", json!({"id": "bicycle"})).1, "words are no id");
    assert!(ann.call("list_memories", json!({"limit": 0})).0.contains("from 1 to 200"));
    assert!(ann.call("remember", json!({})).1);
    assert!(ann.ask("tools/call", json!({"name": "none", "arguments": {}}))["error"]["code"].is_number());
    assert!(ann.ask("resources/read", json!({"uri": "file:///etc/passwd"}))["error"]["code"].is_number());

    // Nobody sees what is another's.
    let mut bob = serve(&sandbox, "cli-bob");
    assert_eq!(bob.call("list_memories", json!({})).0, "Nothing yet.");
    assert!(bob.call("forget", json!({"id": id})).1);
    assert!(ann.call("forget", json!({"id": id})).0.contains("found 0 times"));
    assert_eq!(ann.call("list_memories", json!({})).0, "Nothing yet.");
}

/// Serves over HTTP until this is dropped, for those who have a token; where.
pub(crate) async fn serve_http(sandbox: &Sandbox, tokens: &str) -> (Process, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut clara = command("clara", sandbox.folder());
    clara.env("NATS_URL", sandbox.nats.url()).env("CLARA_MCP_TOKENS", tokens);
    clara.args(["mcp", "serve", "--http", &format!("127.0.0.1:{port}")]);
    let serving = Process::start("mcp-server", clara, sandbox.folder().join("mcp-server.log"));
    eventually("it serves", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(|_| ())).await;
    (serving, format!("http://127.0.0.1:{port}"))
}

/// What a server over HTTP answers, with its status.
async fn post(url: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Option<String>, Value) {
    let mut request = reqwest::Client::new().post(url).header("content-type", "application/json");
    request = request.header("accept", "application/json, text/event-stream").body(body.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let session = answer.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
    let text = answer.text().await.unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).find(|data| data.starts_with('{'));
    (status, session, serde_json::from_str(data.unwrap_or(&text)).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_a_token_says_who_asks_and_without_one_nothing_is_answered() {
    let sandbox = Sandbox::start().await;
    let refuses = |tokens: Option<&str>| {
        let mut clara = command("clara", sandbox.folder());
        clara.env("NATS_URL", sandbox.nats.url()).args(["mcp", "serve", "--http", "127.0.0.1:0"]);
        clara.envs(tokens.map(|tokens| ("CLARA_MCP_TOKENS", tokens))).output().unwrap()
    };
    // Attack S4's kind: nothing is served to everybody by mistake.
    let (swapped, twice) = (format!("cli-ann={ANN},{BOB}=bob"), format!("cli-ann={ANN},cli-bob={ANN}"));
    for (tokens, why) in [
        (None, "set CLARA_MCP_TOKENS"),
        (Some("cli-ann=short"), "pair 1: a user and a token of at least 20 characters"),
        (Some(swapped.as_str()), "pair 2: a user and a token of at least 20 characters"),
        (Some(twice.as_str()), "pair 2: another pair has the same token"),
    ] {
        let refused = refuses(tokens);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(why), "{said}");
        assert!(["short", ANN, BOB].iter().all(|secret| !said.contains(secret)), "{said}");
    }
    let (_serving, base) = serve_http(&sandbox, &format!("cli-ann={ANN},cli-bob={BOB}")).await;
    let (url, log) = (format!("{base}/mcp"), sandbox.folder().join("mcp-server.log"));
    let bearer = |token: &str| format!("Bearer {token}");
    for headers in [&[][..], &[("authorization", "Bearer wrong-token-0123456789")], &[("authorization", ANN)]] {
        assert_eq!(post(&url, headers, &initialize()).await.0, 401);
    }
    let (ann, bob) = (bearer(ANN), bearer(BOB));
    for (name, value) in [("origin", "http://evil.test"), ("host", "evil.test")] {
        assert_eq!(post(&url, &[("authorization", &ann), (name, value)], &initialize()).await.0, 403, "{name}");
    }
    let (status, session, answer) = post(&url, &[("authorization", &ann)], &initialize()).await;
    assert_eq!((status, &answer["result"]["serverInfo"]["name"]), (200, &"Clara".into()), "{answer}");
    let session = session.unwrap();
    let call = async |token: &str, tool: &str, arguments: Value| {
        let headers = [("authorization", token), ("mcp-session-id", &session)];
        post(&url, &headers, &json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        let params = json!({"name": tool, "arguments": arguments});
        let asked = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        post(&url, &headers, &asked).await.2["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    };
    assert!(call(&ann, "remember", json!({"text": "my canary is called Zebra"})).await.contains("Zebra"));
    // Whoever's session it is, the request's own token says who asks.
    assert_eq!(call(&bob, "list_memories", json!({})).await, "Nothing yet.");
    assert!(call(&ann, "list_memories", json!({})).await.contains("Zebra"));
    // Attack S27: too much, and too slowly.
    let mut slow = tokio::net::TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap();
    slow.write_all(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n").await.unwrap();
    let large = json!({"jsonrpc": "2.0", "id": 1, "method": "x".repeat(2 << 20)});
    assert_eq!(post(&url, &[("authorization", &ann)], &large).await.0, 413);
    let closed = tokio::time::timeout(testkit::DEADLINE, slow.read_to_end(&mut Vec::new())).await;
    assert!(closed.is_ok(), "who says nothing more is not waited for");
    let logged = std::fs::read_to_string(log).unwrap();
    assert!(!logged.contains(ANN) && !logged.contains("Zebra"), "{logged}");
}
