//! Turns that stand in no queue any more, calls that may have happened, and
//! senders that send too much.

use domain::turn::ReplyKind;
use integration_tests::chaos::ledgers::ToolServer;
use proto::terminal::{Said, Saying};
use service_kit::crash::CRASH_AT;
use testkit::eventually;
use testkit::model::{Act, FakeModel};
use testkit::sandbox::Sandbox;

/// Takes everything out of a stream, as an operator might by mistake.
async fn purge(url: &str, name: &str) {
    let context = async_nats::jetstream::new(async_nats::connect(url).await.unwrap());
    let stream = context.get_stream(name).await.unwrap();
    eventually("the stream holds something", async || {
        (stream.get_info().await.unwrap().state.messages > 0).then_some(())
    })
    .await;
    stream.purge().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn turn_whose_message_was_purged_goes_on_from_its_journal() {
    let model = FakeModel::start(|asked, number| match number {
        0 => Act::Stall,
        _ => Act::say(format!("re: {}", asked.last_user)),
    })
    .await;
    let mut sandbox = Sandbox::plan().set("CLARA_SWEEP_SECONDS", 1).with(model.as_openai()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let message = terminal.says("one").await;
    eventually("the model was asked", async || (!model.asked().is_empty()).then_some(())).await;
    sandbox.kill("orchestrator", 0);
    purge(&sandbox.nats.url(), "CLARA_TURNS").await;
    sandbox.start_service("orchestrator", 1);
    let reply = terminal.reply_to(&message).await;
    assert_eq!((reply.kind, reply.text.as_str()), (ReplyKind::Answered, "re: one"));
    assert_eq!(terminal.asks("two").await.text, "re: two");
}

#[tokio::test(flavor = "multi_thread")]
async fn reply_that_was_purged_is_sent_again_from_the_journal() {
    let mut sandbox = Sandbox::plan().set("CLARA_SWEEP_SECONDS", 1).start().await;
    let mut terminal = sandbox.terminal("main").await;
    // The message is taken; then nobody is there to deliver.
    let message = terminal.says("count to 30").await;
    sandbox.kill("adapter-cli", 0);
    purge(&sandbox.nats.url(), "CLARA_OUTBOUND").await;
    sandbox.start_service("adapter-cli", 1);
    assert_eq!(terminal.reply_to(&message).await.kind, ReplyKind::Answered);
    assert_eq!(terminal.asks("say after").await.text, "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn turn_that_nobody_has_begun_is_prepared_again_or_told() {
    let mut sandbox = Sandbox::plan().set("CLARA_SWEEP_SECONDS", 1).start().await;
    let (mut kept, mut gone) = (sandbox.terminal("kept").await, sandbox.terminal("gone").await);
    sandbox.kill("processor", 0);
    let alone = kept.says("say one").await;
    let first = gone.says("say one").await;
    // The conversation's record now holds what this message caused: nothing.
    let second = gone.says("say two").await;
    purge(&sandbox.nats.url(), "CLARA_TURNS").await;
    sandbox.start_service("processor", 1);
    let reply = kept.reply_to(&alone).await;
    assert_eq!((reply.kind, reply.text.as_str()), (ReplyKind::Answered, "one"));
    assert_eq!(gone.reply_to(&first).await.kind, ReplyKind::Failed);
    assert_eq!(gone.reply_to(&second).await.text, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn call_that_may_have_happened_is_asked_about() {
    let model = FakeModel::start(|asked, _| match asked.results.first() {
        None if asked.last_user == "charge" => Act::call("charge", "{}"),
        None => Act::say(format!("re: {}", asked.last_user)),
        Some(result) => Act::say(format!("result: {result}")),
    })
    .await;
    let tools = ToolServer::start().await;
    let plan = Sandbox::plan().set("CLARA_LEDGER", tools.address).with(model.as_openai());
    let mut sandbox = plan.start().await;
    let mut terminal = sandbox.terminal("main").await;
    // Each takes the half minute after which the runner's call is given on.
    for (choice, part, runs) in [("retry", "result: done", 2), ("it worked", "the person says that it happened", 1)] {
        sandbox.kill("tool-runner", 0);
        // It dies after the tool ran, before it says so.
        sandbox.start_service_with("tool-runner", 0, &[(CRASH_AT, "F10:1".into())]);
        sandbox.ready(1).await;
        let before = tools.runs().len();
        let message = terminal.says("charge").await;
        eventually("the tool ran", async || (tools.runs().len() > before).then_some(())).await;
        sandbox.start_service("tool-runner", 0);
        let question = terminal.reply_to(&message).await;
        assert_eq!(question.kind, ReplyKind::Question, "{}", question.text);
        assert!(question.text.contains("`charge`") && question.text.contains("may or may not"), "{}", question.text);
        assert_eq!(tools.runs().len(), before + 1, "nothing runs again unasked");
        let reply = terminal.asks(choice).await;
        assert_eq!(reply.kind, ReplyKind::Answered, "{choice}: {}", reply.text);
        assert!(reply.text.contains(part), "{choice}: {}", reply.text);
        assert_eq!(tools.runs().len(), before + runs, "{choice}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_quota_is_refused_with_a_word() {
    let plan = Sandbox::plan().set("CLARA_QUOTA_CONVERSATION_PER_MINUTE", 3).set("CLARA_QUOTA_USER_PER_MINUTE", 5);
    let sandbox = plan.start().await;
    let mut terminal = sandbox.terminal("main").await;
    for n in 0..3 {
        assert_eq!(terminal.asks(&format!("say {n}")).await.text, n.to_string());
    }
    let Said::Refused { because } = terminal.offer("fourth", Saying::text("say 4")).await else { panic!() };
    assert!(because.contains("this conversation") && because.contains("try again in"), "{because}");
    // A stop is always taken, and another conversation has its own measure.
    terminal.does(Saying::Stop).await;
    let mut other = sandbox.terminal("other").await;
    assert_eq!(other.asks("say a").await.text, "a");
    assert_eq!(other.asks("say b").await.text, "b");
    let Said::Refused { because } = other.offer("sixth", Saying::text("say c")).await else { panic!() };
    assert!(because.contains("you have"), "{because}");
}
