//! Processes in the background of the sandbox: they outlive the turn that began them, and
//! nothing else.

use testkit::eventually;
use testkit::postgres::Postgres;
use testkit::terminal::Terminal;

use crate::sandbox::{obedient, plan, running};

async fn calls(terminal: &mut Terminal, tool: &str, arguments: serde_json::Value) -> String {
    terminal.asks(&format!("call {tool} {arguments}")).await.text
}

async fn status(terminal: &mut Terminal, name: &str) -> String {
    calls(terminal, "process_status", serde_json::json!({ "name": name })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_goes_on_after_its_turn_and_is_looked_at_and_stopped() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let sandbox = plan(&model, folder.path()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let job = serde_json::json!({"name": "job", "command": "echo one; echo two; echo three > note; sleep 6161"});
    assert!(calls(&mut terminal, "process_start", job.clone()).await.contains("Started `job`"));
    let again = calls(&mut terminal, "process_start", job).await;
    assert!(again.contains("`job` runs already"), "{again}");
    let output = serde_json::json!({"name": "job", "lines": 1});
    let last = async || calls(&mut terminal, "process_output", output.clone()).await;
    let mut last = last;
    eventually("it printed", async || last().await.contains("\ntwo").then_some(())).await;
    let shown = last().await;
    assert!(!shown.contains("\none") && shown.contains("runs for"), "{shown}");
    assert!(calls(&mut terminal, "read_file", serde_json::json!({"path": "note"})).await.contains("three"));
    // It is the person's own.
    let mut bob = Terminal::open(sandbox.bus().await, "cli-bob", "main").await;
    assert!(status(&mut bob, "job").await.contains("there is no process"));
    assert!(calls(&mut bob, "process_stop", serde_json::json!({"name": "job"})).await.contains("there is no process"));

    for (name, command, timeout, how) in
        [("bad", "exit 3", 60, "it ended with status 3"), ("slow", "sleep 6162", 1, "it took longer than 1s")]
    {
        let start = serde_json::json!({"name": name, "command": command, "timeout": timeout});
        assert!(calls(&mut terminal, "process_start", start).await.contains("Started"));
        eventually("it ended", async || status(&mut terminal, name).await.contains(how).then_some(())).await;
    }
    for number in 0..2 {
        let start = serde_json::json!({"name": format!("more{number}"), "command": "sleep 6163"});
        assert!(calls(&mut terminal, "process_start", start).await.contains("Started"));
    }
    let fourth = calls(&mut terminal, "process_start", serde_json::json!({"command": "sleep 6163"})).await;
    assert!(fourth.contains("3 processes run already"), "{fourth}");
    let stopped = calls(&mut terminal, "process_stop", serde_json::json!({"name": "job"})).await;
    assert!(stopped.contains("it was stopped"), "{stopped}");
    eventually("all of it is gone", async || (running("6161") == 0).then_some(())).await;
    let listed = calls(&mut terminal, "process_list", serde_json::json!({})).await;
    assert_eq!((listed.matches("runs for").count(), listed.matches("- `").count()), (2, 5), "{listed}");
    let escape = serde_json::json!({"command": "pwd", "cwd": "../x"});
    assert!(calls(&mut terminal, "process_start", escape).await.contains("is not a path within"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_ends_with_its_runner_and_another_says_so() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let postgres = Postgres::start();
    let mut sandbox = plan(&model, folder.path()).set("DATABASE_URL", postgres.url()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let job = serde_json::json!({"name": "job", "command": "echo begun >> runs; echo printed; sleep 7171"});
    assert!(calls(&mut terminal, "process_start", job).await.contains("Started"));
    eventually("it runs", async || (running("7171") > 0).then_some(())).await;
    let shown = async || calls(&mut terminal, "process_output", serde_json::json!({"name": "job"})).await;
    let mut shown = shown;
    eventually("what it printed was noted", async || shown().await.contains("\nprinted").then_some(())).await;
    sandbox.kill("tool-runner", 0);
    sandbox.start_service("tool-runner", 1);
    eventually("it is gone", async || (running("7171") == 0).then_some(())).await;
    eventually("the other replica knows", async || {
        status(&mut terminal, "job").await.contains("ended with the tool runner that ran it").then_some(())
    })
    .await;
    let runs = calls(&mut terminal, "read_file", serde_json::json!({"path": "runs"})).await;
    assert_eq!(runs.matches("begun").count(), 1, "it was not begun anew: {runs}");
}
