//! Replay, why and fork, as an operator uses them.

use std::process::{Output, Stdio};
use std::time::Duration;

use domain::turn::ReplyKind;
use integration_tests::chaos::ledgers::ToolServer;
use proto::Wire;
use proto::terminal::Saying;
use serde_json::Value;
use testkit::eventually;
use testkit::model::{Act, FakeModel};
use testkit::process::command;
use testkit::sandbox::Sandbox;

fn clara(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let mut clara = command("clara", sandbox.folder());
    clara.env("NATS_URL", sandbox.nats.url()).env("CLI_USER_ID", "cli-user");
    clara.args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {line}"))).collect()
}

/// Calls a tool, then says what it gave, with the model's name.
async fn model() -> FakeModel {
    FakeModel::start(|asked, _| match asked.results.first() {
        None => Act::call("calculate", r#"{"expression": "6*7"}"#),
        Some(result) => Act::say(format!("{} says {result}", asked.model)),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn turn_is_replayed_explained_and_forked() {
    let model = model().await;
    let sandbox = Sandbox::plan().with(model.as_openai()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    assert!(clara(&sandbox, &["memory", "remember", "my", "bicycle", "is", "green"]).status.success());
    let reply = terminal.asks("sum").await;
    assert_eq!(reply.text, "test-model says 6*7 = 42");
    let turn = reply.turn.to_string();

    let replayed = clara(&sandbox, &["turn", "replay", &turn, "--json"]);
    assert!(replayed.status.success());
    let asked = lines(&replayed);
    assert_eq!(asked.len(), 2);
    for (rebuilt, sent) in asked.iter().zip(model.asked()) {
        assert_eq!((&rebuilt["exact"], &rebuilt["recorded_hash"]), (&Value::Bool(true), &rebuilt["rebuilt_hash"]));
        // What the vendor's ledger holds is what the journal gives.
        let last = sent.body["messages"].as_array().unwrap().last().unwrap()["content"].clone();
        assert_eq!(rebuilt["messages"].as_array().unwrap().last().unwrap()["text"], last);
        assert_eq!(rebuilt["system"], sent.body["messages"][0]["content"]);
    }
    let shown = String::from_utf8(clara(&sandbox, &["turn", "replay", &turn, "--step", "1"]).stdout).unwrap();
    assert!(shown.contains("the same as recorded") && shown.contains("6*7 = 42"), "{shown}");

    let why = String::from_utf8(clara(&sandbox, &["turn", "why", &turn]).stdout).unwrap();
    for part in ["my bicycle is green", "Tools called: 1", "calculate({\"expression\":\"6*7\"})", "test-model"] {
        assert!(why.contains(part), "{part}: {why}");
    }

    let forked = clara(&sandbox, &["turn", "fork", &turn, "--at", "1", "--model", "other-model", "--json"]);
    assert!(forked.status.success(), "{}", String::from_utf8_lossy(&forked.stderr));
    let fork = lines(&forked).remove(0);
    assert_eq!((&fork["same"], &fork["before"]["text"]), (&Value::Bool(false), &Value::String(reply.text)));
    assert_eq!(fork["after"]["text"], "other-model says 6*7 = 42");
    // The first step was taken over, the second asked again: three calls in all.
    assert_eq!(model.asked().len(), 3);
    let refused = clara(&sandbox, &["turn", "fork", &turn, "--at", "7"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("there is no step 7"));
    // The conversation itself knows nothing of its fork.
    assert_eq!(terminal.asks("again").await.kind, ReplyKind::Answered);
}

/// Records the journals that `crates/proto/tests/journals.rs` reads for ever:
/// `CLARA_RECORD_JOURNALS=<folder>` names where to; otherwise they are only folded.
#[tokio::test(flavor = "multi_thread")]
async fn journals_of_this_version_can_be_recorded() {
    let folder = std::env::var_os("CLARA_RECORD_JOURNALS").map(std::path::PathBuf::from);
    let model = FakeModel::start(|asked, _| match (asked.last_user.as_str(), asked.results.first()) {
        ("tools", None) => Act::call("calculate", r#"{"expression": "6*7"}"#),
        ("slow", _) => Act::After(Duration::from_secs(600), Box::new(Act::say("too late"))),
        ("refused", _) => Act::Refuse(400, vec![], "no".into()),
        (said, result) => Act::say(format!("re: {said} {}", result.map_or("", String::as_str))),
    })
    .await;
    let tools = ToolServer::start().await;
    let sandbox = Sandbox::plan().set("CLARA_LEDGER", tools.address).with(model.as_openai()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let mut recorded = Vec::new();
    for name in ["plain", "tools", "refused"] {
        recorded.push((name, terminal.asks(name).await));
    }
    let slow = terminal.says("slow").await;
    eventually("the model was asked", async || (model.asked().len() >= 5).then_some(())).await;
    terminal.does(Saying::Stop).await;
    recorded.push(("stopped", terminal.reply_to(&slow).await));
    let journals = sandbox.bus().await.journals().await.unwrap();
    for (name, reply) in recorded {
        let records = journals.records(&reply.conversation, reply.turn).await.unwrap();
        assert!(records.len() >= 2, "{name}");
        if let Some(folder) = &folder {
            let mut bytes = Vec::new();
            for recorded in records {
                let record = recorded.record.to_wire();
                bytes.extend(u32::try_from(record.len()).unwrap().to_le_bytes());
                bytes.extend(record);
            }
            std::fs::write(folder.join(format!("{name}.journal")), bytes).unwrap();
        }
    }
}
