//! Servers of two people on two replicas of the tool runner, which die in the middle of a call.

use domain::mcp::{McpCommand, Status};
use domain::turn::ReplyKind;
use testkit::eventually;
use testkit::terminal::Terminal;

use crate::asking::ANN;
use crate::mcp::{calls, calls_tool, install, mcp, obedient, plan, rogue};

const BOB: &str = "cli-bob";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_the_middle_of_which_everything_that_ran_it_died_is_made_once() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let (of_ann, of_bob) = (folder.path().join("ann"), folder.path().join("bob"));
    for folder in [&of_ann, &of_bob] {
        std::fs::create_dir(folder).unwrap();
    }
    let plan = plan(&model, folder.path()).replicas(2).set("CLARA_MCP_TIMEOUT_SECONDS", 120);
    let mut sandbox = plan.set("CLARA_ADMINS", format!("{ANN},{BOB}")).start().await;
    let bus = sandbox.bus().await;
    // The same name is another server to each, on whichever replica.
    install(&bus, ANN, "mine", rogue(&of_ann), false).await.unwrap();
    install(&bus, BOB, "mine", rogue(&of_bob), false).await.unwrap();
    let mut ann = sandbox.terminal("main").await;
    let mut bob = Terminal::open(sandbox.bus().await, BOB, "main").await;
    let names: Vec<String> = (0..6).map(|number| format!("call-{number}")).collect();
    for how in &names {
        let arguments = format!(r#"{{"how": "{how}"}}"#);
        let (one, other) =
            tokio::join!(calls_tool(&mut ann, "mine__do", &arguments), calls_tool(&mut bob, "mine__do", &arguments));
        assert!(one.text.contains("done: call") && other.text.contains("done: call"), "{one:?} {other:?}");
    }
    assert_eq!((calls(&of_ann), calls(&of_bob)), (names.clone(), names.clone()));

    let message = ann.says(r#"call mine__do {"how": "wait"}"#).await;
    eventually("the call is in work", async || (calls(&of_ann).len() > names.len()).then_some(())).await;
    for replica in 0..2 {
        sandbox.kill("tool-runner", replica);
    }
    for replica in 0..2 {
        sandbox.start_service("tool-runner", replica);
    }
    let question = ann.reply_to(&message).await;
    assert_eq!(question.kind, ReplyKind::Question, "{}", question.text);
    assert!(question.text.contains("`mine__do`") && question.text.contains("may or may not"), "{}", question.text);
    // Bob's server was nobody's trouble, and is started anew.
    let reply = calls_tool(&mut bob, "mine__do", r#"{"how": "after"}"#).await;
    assert!(reply.text.contains("done: after"), "{}", reply.text);
    assert_eq!(ann.asks("it worked").await.kind, ReplyKind::Answered);
    assert_eq!(calls(&of_ann)[names.len()..], ["wait"], "it was made once");
    assert_eq!(calls(&of_bob)[names.len()..], ["after"]);
}

/// Those of a server's processes that run.
fn running(folder: &std::path::Path) -> Vec<String> {
    let started = std::fs::read_to_string(folder.join("started")).unwrap_or_default();
    let runs = |process: &&str| std::fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| !line.is_empty());
    started.lines().filter(runs).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_ends_with_a_runner_that_is_killed() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let plan = plan(&model, folder.path()).set("CLARA_MCP_TIMEOUT_SECONDS", 120);
    let mut sandbox = plan.start().await;
    install(&sandbox.bus().await, ANN, "mine", rogue(folder.path()), false).await.unwrap();
    let terminal = sandbox.terminal("main").await;
    // It reads nothing while it is at work, and so not that nobody speaks to it any more.
    terminal.says(r#"call mine__do {"how": "hang"}"#).await;
    eventually("the call is in work", async || (calls(folder.path()) == ["hang"]).then_some(())).await;
    assert_eq!(running(folder.path()).len(), 1);
    sandbox.kill("tool-runner", 0);
    eventually("it has ended", async || running(folder.path()).is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_server_stands_is_said_also_while_it_starts() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let sandbox = plan(&model, folder.path()).start().await;
    let bus = sandbox.bus().await;
    install(&bus, ANN, "mine", rogue(folder.path()), false).await.unwrap();
    let stands = async |expected: Status| {
        let listed = mcp(&bus, ANN, McpCommand::List).await.unwrap().servers;
        (listed[0].status == expected).then_some(())
    };
    eventually("nobody has called it", async || stands(Status::Stopped).await).await;
    let mut terminal = sandbox.terminal("main").await;
    assert!(calls_tool(&mut terminal, "mine__do", r#"{"how": "x"}"#).await.text.contains("done: x"));
    eventually("it runs", async || stands(Status::Running).await).await;
    // From now on it says nothing when it is started.
    std::fs::write(folder.path().join("start"), "silent").unwrap();
    mcp(&bus, ANN, McpCommand::Restart { name: "mine".into() }).await.unwrap();
    terminal.says(r#"call mine__do {"how": "x"}"#).await;
    eventually("it is being started", async || stands(Status::Starting).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_reaches_every_replica() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let sandbox = plan(&model, folder.path()).replicas(2).start().await;
    let (bus, mut terminal) = (sandbox.bus().await, sandbox.terminal("main").await);
    install(&bus, ANN, "mine", rogue(folder.path()), false).await.unwrap();
    let running = || running(folder.path());
    let mut call =
        async || assert!(calls_tool(&mut terminal, "mine__do", r#"{"how": "x"}"#).await.text.contains("done: x"));
    let mut both = async || {
        call().await;
        let running = running();
        (running.len() == 2).then_some(running)
    };
    let before = eventually("both replicas run it", &mut both).await;
    mcp(&bus, ANN, McpCommand::Restart { name: "mine".into() }).await.unwrap();
    let anew = async || both().await.filter(|after| after.iter().all(|process| !before.contains(process)));
    eventually("both run it anew", anew).await;
}
