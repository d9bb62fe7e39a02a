//! What MCP servers give beside tools, and what they ask meanwhile: resources, prompts, news,
//! how far a call is, where they may look, what the person answers.

use domain::mcp::{Launch, McpCommand};
use domain::message::{Audience, Route};
use domain::turn::ReplyKind;
use proto::live::{Activity, DeltaKind};
use testkit::sandbox::Sandbox;
use testkit::{DEADLINE, eventually};

use crate::asking::ANN;
use crate::mcp::{calls_tool, clara, everything, install, lines, mcp, obedient, plan, process, serve_everything};

/// A Clara with server-everything, whose calls may take a while.
async fn start(folder: &std::path::Path) -> (testkit::model::FakeModel, Sandbox) {
    let model = obedient().await;
    let sandbox = plan(&model, folder).set("CLARA_MCP_TIMEOUT_SECONDS", 20).start().await;
    let script = everything().join("dist/index.js");
    let launch = process(&["node", script.to_str().unwrap(), "stdio"], &[]);
    install(&sandbox.bus().await, ANN, "everything", launch, false).await.unwrap();
    (model, sandbox)
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_and_prompts_are_listed_read_and_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    let (_model, sandbox) = start(folder.path()).await;
    let listed = lines(clara(&sandbox, ANN, &["resources", "everything", "--json"]));
    let of = |uri: &str| listed.iter().find(|resource| resource["uri"] == uri).unwrap();
    assert_eq!(of("demo://resource/dynamic/text/{resourceId}")["template"], true);
    assert_eq!(of("demo://resource/static/document/features.md")["template"], false);
    let read = lines(clara(&sandbox, ANN, &["resource", "everything", "demo://resource/dynamic/text/7", "--json"]));
    assert!(read[0]["text"].as_str().unwrap().contains("Resource 7"), "{read:?}");
    let prompts = lines(clara(&sandbox, ANN, &["prompts", "everything", "--json"]));
    let city = prompts.iter().find(|prompt| prompt["name"] == "args-prompt").unwrap();
    assert_eq!((&city["arguments"][0]["name"], &city["arguments"][0]["required"]), (&"city".into(), &true.into()));
    let filled = lines(clara(&sandbox, ANN, &["prompt", "everything", "args-prompt", "city=Oslo", "--json"]));
    assert_eq!(filled[0]["text"], "user: What's weather in Oslo?");
    let missing = clara(&sandbox, ANN, &["prompt", "everything", "args-prompt"]);
    assert!(!missing.status.success() && String::from_utf8_lossy(&missing.stderr).contains("city"), "{missing:?}");

    // In words too, as anybody's words; and nobody reads what is another's.
    let mut terminal = sandbox.terminal("main").await;
    let reply = calls_tool(&mut terminal, "mcp_resources", r#"{"server_name": "everything"}"#).await;
    assert!(reply.text.contains("<untrusted") && reply.text.contains("features.md"), "{}", reply.text);
    let uri = r#"{"server_name": "everything", "uri": "demo://resource/dynamic/text/8"}"#;
    let reply = calls_tool(&mut terminal, "mcp_read_resource", uri).await;
    assert!(reply.text.contains("<untrusted") && reply.text.contains("Resource 8"), "{}", reply.text);
    let filled = r#"{"server_name": "everything", "prompt": "args-prompt", "arguments": {"city": "Rome"}}"#;
    assert!(calls_tool(&mut terminal, "mcp_get_prompt", filled).await.text.contains("weather in Rome"));
    let reply = calls_tool(&mut terminal, "mcp_prompts", r#"{"server_name": "everything"}"#).await;
    assert!(reply.text.contains("args-prompt(city, state?)"), "{}", reply.text);
    let others = McpCommand::Resources { name: "everything".into() };
    assert!(mcp(&sandbox.bus().await, "cli-bob", others).await.is_err());
}

/// The events of a chat into which these lines are typed.
fn chats(sandbox: &Sandbox, typed: &str) -> Vec<serde_json::Value> {
    let mut chat = testkit::process::command("clara", sandbox.folder());
    chat.env("NATS_URL", sandbox.nats.url()).env("CLI_USER_ID", ANN).args(["chat", "--json"]);
    let mut chat = chat.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut chat.stdin.take().unwrap(), typed.as_bytes()).unwrap();
    lines(chat.wait_with_output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_from_mcpomni_connect_types_what_they_know() {
    let folder = tempfile::tempdir().unwrap();
    let (model, sandbox) = start(folder.path()).await;
    let typed = "/tools\n/resources\n/resource:demo://resource/dynamic/text/7\n/prompts\n/prompt:args-prompt/city=Oslo\n\
                 /subscribe:/resource:demo://resource/static/document/features.md\n";
    let seen = chats(&sandbox, typed);
    let told: Vec<&str> =
        seen.iter().filter(|event| event["event"] == "servers").map(|event| event["text"].as_str().unwrap()).collect();
    for (text, part) in
        told.iter().zip(["everything__echo  ", "features.md  (everything)", "Resource 7", "args-prompt  ("])
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(told.len() == 5 && told[4].contains("You hear of changes"), "{told:?}");
    // What a prompt says stays the server's word, which the model asks for.
    let said = model.asked().into_iter().map(|asked| asked.last_user).collect::<String>();
    assert!(said.contains("`args-prompt` of the server `everything` by mcp_get_prompt"), "{said}");
    assert!(said.contains(r#"{"city":"Oslo"}"#), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_subscribed_sees_what_changed_since_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let (_model, sandbox) = start(folder.path()).await;
    let (bus, mut terminal) = (sandbox.bus().await, sandbox.terminal("main").await);
    let uri = "demo://resource/static/document/features.md";
    assert!(clara(&sandbox, ANN, &["subscribe", "everything", uri]).status.success());
    // From then on the server says every few seconds that it changed.
    calls_tool(&mut terminal, "everything__toggle-subscriber-updates", "{}").await;
    let changed = async || {
        let asked = McpCommand::Resources { name: "everything".into() };
        let listed = mcp(&bus, ANN, asked).await.unwrap().resources;
        listed.into_iter().find(|resource| resource.uri == uri).unwrap().has_changed
    };
    eventually("it changed", async || changed().await.then_some(())).await;
    calls_tool(&mut terminal, "everything__toggle-subscriber-updates", "{}").await;
    mcp(&bus, ANN, McpCommand::Read { name: "everything".into(), uri: uri.into() }).await.unwrap();
    assert!(!changed().await, "it was read");
    assert!(clara(&sandbox, ANN, &["unsubscribe", "everything", uri]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_a_call_is_is_shown_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (_model, sandbox) = start(folder.path()).await;
    let (bus, mut terminal) = (sandbox.bus().await, sandbox.terminal("main").await);
    let route = Route { platform: "cli".into(), channel: "main".into(), audience: Audience::Direct, parent: None };
    let mut shown = bus.watch_deltas(&route.platform, &terminal.conversation).await.unwrap();
    let long = r#"{"duration": 1.2, "steps": 3}"#;
    let reply = calls_tool(&mut terminal, "everything__trigger-long-running-operation", long).await;
    assert!(reply.text.contains("Long running operation completed"), "{}", reply.text);
    let mut seen = Vec::new();
    while let Some(delta) = tokio::time::timeout(DEADLINE, shown.next()).await.unwrap() {
        match delta.kind {
            DeltaKind::Status(Activity::ToolProgressed { text }) => seen.push(text),
            DeltaKind::Status(Activity::ToolFinished { .. }) => break,
            _ => {}
        }
    }
    assert_eq!(seen[0], "everything__trigger-long-running-operation: 1 of 3", "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_told_where_it_may_look_and_what_the_person_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (_model, sandbox) = start(folder.path()).await;
    let mut terminal = sandbox.terminal("main").await;
    let reply = calls_tool(&mut terminal, "everything__get-roots-list", "{}").await;
    assert!(reply.text.contains(&format!("file://{}", sandbox.folder().join("data/mcp").display())), "{}", reply.text);
    // Nobody has answered: it hears so, and the question comes back into the conversation.
    let reply = calls_tool(&mut terminal, "everything__trigger-elicitation-request", "{}").await;
    assert!(reply.text.contains("User declined"), "{}", reply.text);
    assert!(reply.text.contains("wanted to ask the person") && reply.text.contains("full, legal name"));
    let known = r#"{"_answers": {"name": "Ida", "integer": 4}}"#;
    let reply = calls_tool(&mut terminal, "everything__trigger-elicitation-request", known).await;
    assert!(reply.text.contains("Name: Ida") && reply.text.contains("Favorite Integer: 4"), "{}", reply.text);
    // What does not fit its form is no answer.
    let wrong = r#"{"_answers": {"name": "Ida", "integer": 4000}}"#;
    let reply = calls_tool(&mut terminal, "everything__trigger-elicitation-request", wrong).await;
    assert!(reply.text.contains("User declined"), "{}", reply.text);
    let refused = calls_tool(&mut terminal, "everything__echo", r#"{"message": 7, "_answers": {}}"#).await;
    assert!(refused.text.contains("the arguments do not fit"), "{}", refused.text);
}

/// A server that speaks the HTTP of 2024-11-05 is found out to, and asked alike.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_old_is_called_over_server_sent_events() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let sandbox = plan(&model, folder.path()).set("CLARA_MCP_TIMEOUT_SECONDS", 20).start().await;
    let (serving, port) = serve_everything("sse").await;
    let launch = Launch::Http { url: format!("http://127.0.0.1:{port}/sse"), headers: Default::default() };
    install(&sandbox.bus().await, ANN, "old", launch, false).await.unwrap();
    let mut terminal = sandbox.terminal("main").await;
    let reply = calls_tool(&mut terminal, "old__echo", r#"{"message": "from then"}"#).await;
    assert!(reply.text.contains("Echo: from then"), "{}", reply.text);
    let long = r#"{"duration": 0.2, "steps": 2}"#;
    let reply = calls_tool(&mut terminal, "old__trigger-long-running-operation", long).await;
    assert!(reply.text.contains("completed"), "{}", reply.text);
    drop(serving);
    let away = calls_tool(&mut terminal, "old__echo", r#"{"message": "still there?"}"#).await;
    assert!(away.text.contains("error") || away.kind == ReplyKind::Question, "{}", away.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_has_words_of_the_model_when_somebody_agreed_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let (model, sandbox) = start(folder.path()).await;
    let mut terminal = sandbox.terminal("main").await;
    let ask = r#"{"prompt": "which colour?", "maxTokens": 100000}"#;
    let refused = calls_tool(&mut terminal, "everything__trigger-sampling-request", ask).await;
    assert!(refused.text.contains("nobody has agreed to it"), "{}", refused.text);
    let before = model.asked().len();
    let allowed = lines(clara(&sandbox, ANN, &["sampling", "everything", "--json"]));
    assert_eq!(allowed[0]["may_sample"], true);
    let reply = calls_tool(&mut terminal, "everything__trigger-sampling-request", ask).await;
    assert!(reply.text.contains("all right"), "{}", reply.text);
    // It was asked with the server's own words alone, for an answer of a bounded length.
    let asked = model.asked();
    let of_server = |body: &serde_json::Value| body["tools"].is_null() && body.to_string().contains("which colour?");
    let sampled: Vec<_> = asked[before..].iter().filter(|asked| of_server(&asked.body)).collect();
    let [sampled] = sampled[..] else { panic!("{asked:?}") };
    let body = sampled.body.to_string();
    assert!(!body.contains("Clara") && !body.contains("!call") && body.contains("2000"), "{body}");
    assert!(clara(&sandbox, ANN, &["sampling", "everything", "--off"]).status.success());
    let refused = calls_tool(&mut terminal, "everything__trigger-sampling-request", ask).await;
    assert!(refused.text.contains("nobody has agreed to it"), "{}", refused.text);
}
