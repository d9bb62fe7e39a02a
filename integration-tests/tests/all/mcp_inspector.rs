//! Clara as an MCP server before the command line of the MCP Inspector, a client that nobody
//! here wrote, over pipes and over HTTP.

use serde_json::Value;
use testkit::DEADLINE;
use testkit::process::program;
use testkit::sandbox::Sandbox;

use crate::mcp::servers;
use crate::mcp_server::serve_http;

const INSPECTOR: &str = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js";
const TOKEN: &str = "cli-ann-token-0123456789";

/// What it prints of one question to a server, if that went well.
async fn inspect(sandbox: &Sandbox, server: &[&str], question: &[&str]) -> Result<Value, String> {
    let mut run = tokio::process::Command::new(servers().join("node"));
    run.arg(servers().join(INSPECTOR)).arg("--cli").args(server).arg("--method").args(question);
    run.current_dir(sandbox.folder()).env("HOME", sandbox.folder()).kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, run.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(serde_json::from_str(&said).unwrap_or_else(|err| panic!("{err}: {said}"))),
        false => Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Everything that a server offers, looked at and used.
async fn shows_all(sandbox: &Sandbox, server: &[&str]) {
    let ask = async |question: &[&str]| inspect(sandbox, server, question).await.unwrap();
    let names = |listed: &Value, kind: &str| -> Vec<String> {
        listed[kind].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    // It finds no fault in how they are described.
    let listed = ask(&["tools/list", "--strict"]).await;
    assert_eq!(names(&listed, "tools"), ["chat", "remember", "search_memories", "list_memories", "forget"]);
    let kept = ask(&["tools/call", "--tool-name", "remember", "--tool-arg", "text=my bicycle is green"]).await;
    assert!(kept.to_string().contains("my bicycle is green"), "{kept}");
    let said = ask(&["tools/call", "--tool-name", "chat", "--tool-arg", "message=what colour is my bicycle?"]).await;
    assert!(said.to_string().contains("my bicycle is green"), "{said}");
    assert_eq!(names(&ask(&["resources/list"]).await, "resources"), ["memories"]);
    let read = ask(&["resources/read", "--uri", "clara://memories"]).await;
    assert!(read["contents"][0]["text"].as_str().unwrap().contains("is green"), "{read}");
    assert_eq!(names(&ask(&["resources/templates/list"]).await, "resourceTemplates"), ["memory"]);
    assert_eq!(names(&ask(&["prompts/list"]).await, "prompts"), ["about_me", "with_memories"]);
    let prompt = ask(&["prompts/get", "--prompt-name", "with_memories", "--prompt-args", "question=my bicycle?"]).await;
    assert!(prompt.to_string().contains("is green"), "{prompt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_sees_all_of_her_over_pipes() {
    let sandbox = Sandbox::start().await;
    let (nats, home) = (format!("NATS_URL={}", sandbox.nats.url()), format!("HOME={}", sandbox.folder().display()));
    let clara = program("clara").display().to_string();
    shows_all(&sandbox, &["-e", &nats, "-e", &home, "-e", "CLI_USER_ID=cli-ann", &clara, "mcp", "serve"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_sees_all_of_her_over_http_with_a_token_alone() {
    let sandbox = Sandbox::start().await;
    let (_serving, base) = serve_http(&sandbox, &format!("cli-ann={TOKEN}")).await;
    let url = format!("{base}/mcp");
    let (right, wrong) = (format!("Authorization: Bearer {TOKEN}"), "Authorization: Bearer cli-bob-token-987654321");
    shows_all(&sandbox, &[&url, "--transport", "http", "--header", &right]).await;
    for server in [vec![url.as_str(), "--header", wrong], vec![url.as_str()]] {
        let refused = inspect(&sandbox, &server, &["tools/list"]).await.unwrap_err();
        assert!(!refused.contains("remember"), "{refused}");
    }
}
