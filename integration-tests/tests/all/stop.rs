//! Ending a turn: visible within two seconds, and nothing begins after it.

use std::time::{Duration, Instant};

use domain::turn::ReplyKind;
use proto::terminal::Saying;
use testkit::eventually;
use testkit::model::{Act, FakeModel};
use testkit::sandbox::Sandbox;
use testkit::terminal::Terminal;

/// What the promise allows from the stop to its being seen.
const VISIBLE: Duration = Duration::from_secs(2);

async fn begun(terminal: &Terminal) {
    let mut deltas = terminal.bus.watch_deltas("cli", &terminal.conversation).await.unwrap();
    tokio::time::timeout(testkit::DEADLINE, deltas.next()).await.expect("the turn has begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_ends_the_running_turn_and_names_both() {
    let sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    for what in [
        Saying::Stop,
        Saying::text("clara stop"),
        Saying::text("Stop Clara!"),
        Saying::text("nevermind"),
        Saying::text("never mind"),
    ] {
        let long = terminal.says("count to 2000").await;
        begun(&terminal).await;
        let asked = Instant::now();
        let stop = terminal.does(what.clone()).await;
        let reply = terminal.reply_to(&long).await;
        assert!(asked.elapsed() < VISIBLE, "{what:?}: {:?}", asked.elapsed());
        assert_eq!(reply.kind, ReplyKind::Stopped, "{what:?}");
        assert_eq!(reply.answers, [long, stop]);
    }
    assert_eq!(terminal.asks("say again").await.text, "again");
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_drops_what_waits_and_says_so() {
    let sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    let long = terminal.says("count to 2000").await;
    let waiting = [terminal.says("say a").await, terminal.says("say b").await];
    let stop = terminal.does(Saying::Stop).await;
    let mut named = Vec::new();
    for _ in 0..2 {
        let reply = terminal.hears().await;
        assert_eq!(reply.kind, ReplyKind::Stopped);
        named.push(reply.answers);
    }
    named.sort_by_key(|answers| !answers.contains(&long));
    assert_eq!(named, [vec![long, stop], waiting.to_vec()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_with_nothing_running_says_so() {
    let sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    let reply = terminal.asks("never mind").await;
    assert_eq!((reply.kind, reply.text.as_str()), (ReplyKind::Notice, "There is nothing to stop."));
}

#[tokio::test(flavor = "multi_thread")]
async fn model_call_is_closed_and_no_tool_begins_after_a_stop() {
    // The model thinks long, then would write a file.
    let model = FakeModel::start(|_, _| {
        let call = Act::call("save_to_local", r#"{"filename":"late.txt","content":"too late"}"#);
        Act::After(Duration::from_secs(2), Box::new(call))
    })
    .await;
    let plan = Sandbox::plan().with(model.as_openai());
    let sandbox = plan.start().await;
    let mut terminal = sandbox.terminal("main").await;
    let long = terminal.says("write late").await;
    eventually("the model was asked", async || (!model.asked().is_empty()).then_some(())).await;
    terminal.does(Saying::Stop).await;
    assert_eq!(terminal.reply_to(&long).await.kind, ReplyKind::Stopped);
    // The model's answer would have come in the meantime.
    assert!(terminal.hears_nothing_for(Duration::from_secs(3)).await);
    let records = sandbox.bus().await.journals().await.unwrap();
    let turn = domain::ids::TurnId::derive(&terminal.conversation, &long);
    let journal = records.read(&terminal.conversation, turn).await.unwrap();
    assert_eq!(journal.state().calls().count(), 0);
    assert!(!sandbox.folder().join("data/files/cli-user/late.txt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stopped_is_not_begun_again_by_whoever_comes_after_its_runner() {
    // What may run again, and never ends.
    let looks = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = looks.local_addr().unwrap();
    let (looking, looked) = tokio::sync::watch::channel(0);
    let listening = service_kit::task::spawn(service_kit::task::TaskKind::Watch, "hear-looks", async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = looks.accept().await {
            open.push(stream);
            looking.send_modify(|looked| *looked += 1);
        }
    });
    let model = FakeModel::start(|_, _| Act::call("look", "{}")).await;
    let mut sandbox = Sandbox::plan().with(model.as_openai()).set("CLARA_LEDGER", address).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let message = terminal.says("look it up").await;
    eventually("it is being looked up", async || (*looked.borrow() == 1).then_some(())).await;
    sandbox.kill("tool-runner", 0);
    terminal.does(Saying::Stop).await;
    assert_eq!(terminal.reply_to(&message).await.kind, ReplyKind::Stopped);
    sandbox.start_service("tool-runner", 0);
    // The call comes to the next runner, which is done with it.
    let client = async_nats::connect(sandbox.nats.url()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    testkit::within(2 * testkit::DEADLINE, "nobody has the call any more", async || {
        let calls = context.get_stream("CLARA_TOOLS").await.ok()?;
        (calls.cached_info().state.messages == 0).then_some(())
    })
    .await;
    assert_eq!(*looked.borrow(), 1, "it is not looked up once more");
    listening.abort();
}
