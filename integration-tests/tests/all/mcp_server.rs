//! Clara as an MCP server: what other programs see of her, and who they may be.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};
use testkit::eventually;
use testkit::process::{Process, command};
use testkit::sandbox::Sandbox;

const ANN: &str = "cli-ann-token-0123456789";
const BOB: &str = "cli-bob-token-0123456789";

fn initialize() -> Value {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
    }})
}

/// A client that speaks to the process's own pipes.
struct Piped {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    next: u64,
}

impl Piped {
    fn start(sandbox: &Sandbox, user: &str) -> Self {
        let mut clara = command("clara", sandbox.folder());
        clara.env("NATS_URL", sandbox.nats.url()).env("CLI_USER_ID", user).args(["mcp", "serve"]);
        let mut child = clara.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut piped = Self { child, input, output, next: 0 };
        writeln!(piped.input, "{}", initialize()).unwrap();
        assert_eq!(piped.read()["result"]["serverInfo"]["name"], "Clara");
        writeln!(piped.input, r#"{{"jsonrpc":"2.0","method":"notifications/initialized"}}"#).unwrap();
        piped
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?} is no message of MCP"))
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let asked = json!({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params});
        writeln!(self.input, "{asked}").unwrap();
        let answer = self.read();
        assert_eq!(answer["id"], self.next, "{answer}");
        answer
    }

    fn call(&mut self, tool: &str, arguments: Value) -> (String, bool) {
        let answer = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        (text, result["isError"] == true)
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_talks_with_her_and_sees_what_she_remembers() {
    let sandbox = Sandbox::start().await;
    let mut ann = Piped::start(&sandbox, "cli-ann");
    let listed = ann.ask("tools/list", json!({}));
    let names: Vec<&str> =
        listed["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["chat", "remember", "search_memories", "list_memories", "forget"]);
    assert!(ann.call("remember", json!({"text": "my bicycle is green"})).0.contains("my bicycle is green"));
    let (said, is_error) = ann.call("chat", json!({"message": "what colour is my bicycle?"}));
    assert!(said.contains("my bicycle is green") && !is_error, "{said}");
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
    let mut bob = Piped::start(&sandbox, "cli-bob");
    assert_eq!(bob.call("list_memories", json!({})).0, "Nothing yet.");
    assert!(bob.call("forget", json!({"id": id})).1);
    assert!(ann.call("forget", json!({"id": id})).0.contains("found 0 times"));
    assert_eq!(ann.call("list_memories", json!({})).0, "Nothing yet.");
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
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let serve = |tokens: Option<&str>| {
        let mut clara = command("clara", sandbox.folder());
        clara.env("NATS_URL", sandbox.nats.url()).args(["mcp", "serve", "--http", &format!("127.0.0.1:{port}")]);
        clara.envs(tokens.map(|tokens| ("CLARA_MCP_TOKENS", tokens)));
        clara
    };
    // Attack S4's kind: nothing is served to everybody by mistake.
    for (tokens, why) in [(None, "set CLARA_MCP_TOKENS"), (Some("cli-ann=short"), "at least 20 characters")] {
        let refused = serve(tokens).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(why) && !said.contains("short"), "{said}");
    }
    let tokens = format!("cli-ann={ANN},cli-bob={BOB}");
    let log = sandbox.folder().join("mcp-server.log");
    let _serving = Process::start("mcp-server", serve(Some(&tokens)), log.clone());
    eventually("it serves", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(|_| ())).await;
    let url = format!("http://127.0.0.1:{port}/mcp");
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
    let logged = std::fs::read_to_string(log).unwrap();
    assert!(!logged.contains(ANN) && !logged.contains("Zebra"), "{logged}");
}
