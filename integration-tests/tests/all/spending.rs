//! What people may spend on a day: counted across replicas before a call is made, and seen
//! when it is used up.

use bus::{AccountKey, Spending};
use domain::mcp::McpCommand;
use domain::memory::FactCommand;
use domain::spending::{Account, Cost};
use domain::turn::{Reply, ReplyKind};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proto::terminal::Saying;
use testkit::eventually;
use testkit::model::{Act, FakeModel};
use testkit::sandbox::Sandbox;
use testkit::terminal::Terminal;

use crate::asking::{ANN, ask, known};
use crate::mcp::{everything, install, mcp, obedient, plan, process};

/// Each answer of the fake model costs 11 tokens that are read and 7 that are written.
const ANSWER: u64 = 18;

#[track_caller]
fn stopped(reply: &Reply, why: &str) {
    assert_eq!(reply.kind, ReplyKind::Failed, "{}", reply.text);
    assert!(reply.text.starts_with("Stopped: ") && reply.text.contains(why), "{}", reply.text);
}

/// What an account has spent when none of its calls is in work.
async fn settled(spending: &Spending, key: &AccountKey) -> Cost {
    eventually("all calls are settled", async || {
        let seen = spending.change(key, |account| Some(account.clone())).await.unwrap().unwrap();
        seen.open.is_empty().then_some(seen.spent)
    })
    .await
}

fn today() -> String {
    Timestamp::now().to_zoned(TimeZone::UTC).date().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_may_spend_counts_in_all_their_conversations_and_replicas() {
    let model = FakeModel::start(|_, _| Act::say("all right")).await;
    let plan = Sandbox::plan().with(model.as_openai()).replicas(2).set("CLARA_MODEL_MAX_TOKENS", 100);
    let mut sandbox = plan.set("CLARA_BUDGET_USER_TOKENS", 20_000).set("DEFAULT_TIMEZONE", "UTC").start().await;
    let (mut one, mut other) = (sandbox.terminal("one").await, sandbox.terminal("other").await);
    let spending = sandbox.bus().await.spending().await.unwrap();
    let (key, day) = (|day: &str| AccountKey::of_person(ANN, day), today());
    for _ in 0..3 {
        assert_eq!(one.asks("hello").await.kind, ReplyKind::Answered);
        assert_eq!(other.asks("hello").await.kind, ReplyKind::Answered);
    }
    // What was reserved for a call, far more, is not what it cost.
    let spent = settled(&spending, &key(&day)).await;
    assert_eq!((spent, today()), (Cost { tokens: 6 * ANSWER, micros: 0 }, day.clone()), "a day ended meanwhile?");
    // One that might cost more than is left is not made.
    stopped(&one.asks(&"a ".repeat(30_000)).await, "CLARA_BUDGET_USER_TOKENS");
    assert_eq!(other.asks("hello").await.kind, ReplyKind::Answered, "what is cheap still fits");
    let all = |account: &mut Account| {
        account.spent.tokens = 19_990;
        Some(())
    };
    spending.change(&key(&day), all).await.unwrap().unwrap();
    let asked = model.asked().len();
    stopped(&other.asks("hello").await, "used up");
    // Neither a death nor another conversation gives it back; others have their own.
    sandbox.kill("orchestrator", 0);
    sandbox.kill("orchestrator", 1);
    sandbox.start_service("orchestrator", 0);
    stopped(&sandbox.terminal("third").await.asks("hello").await, "used up");
    assert_eq!(model.asked().len(), asked, "nothing was asked");
    let mut bob = Terminal::open(sandbox.bus().await, "cli-bob", "one").await;
    assert_eq!(bob.asks("hello").await.kind, ReplyKind::Answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_is_counted_by_the_prices_and_a_channel_has_its_own() {
    let model = FakeModel::start(|_, _| Act::say("all right")).await;
    // A dollar a token.
    let plan = Sandbox::plan().with(model.as_openai()).set("CLARA_MODEL_MAX_TOKENS", 100);
    let plan = plan.set("CLARA_PRICE_MID", "1000000/1000000").set("CLARA_BUDGET_CHANNEL_CENTS", 2_000_000);
    let sandbox = plan.set("DEFAULT_TIMEZONE", "UTC").start().await;
    let mut here = sandbox.terminal("here").await;
    assert_eq!(here.asks("hello").await.kind, ReplyKind::Answered);
    let spending = sandbox.bus().await.spending().await.unwrap();
    let key = AccountKey::of_channel(&here.conversation, &today());
    let spent = settled(&spending, &key).await;
    assert_eq!(spent, Cost { tokens: ANSWER, micros: ANSWER * 1_000_000 });
    stopped(&here.asks(&"a ".repeat(30_000)).await, "CLARA_BUDGET_CHANNEL_CENTS");
    assert_eq!(sandbox.terminal("elsewhere").await.asks("hello").await.kind, ReplyKind::Answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_a_server_wants_of_the_model_are_paid_for_by_whoever_calls_it() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    // A dollar a token for what servers ask, and nothing for the turn itself.
    let plan = plan(&model, folder.path()).set("CLARA_PRICE_MID", "1000000/1000000").set("DEFAULT_TIMEZONE", "UTC");
    let plan = plan.set("CLARA_BUDGET_USER_CENTS", 2_000_000).set("CLARA_MODEL_MAX_TOKENS", 100);
    let sandbox = plan.set("CLARA_MCP_TIMEOUT_SECONDS", 20).start().await;
    let (bus, script) = (sandbox.bus().await, everything().join("dist/index.js"));
    let launch = process(&["node", script.to_str().unwrap(), "stdio"], &[]);
    install(&bus, ANN, "everything", launch, false).await.unwrap();
    let agreed = McpCommand::Sampling { name: "everything".into(), is_allowed: true };
    mcp(&bus, ANN, agreed).await.unwrap();
    let (mut terminal, spending) = (sandbox.terminal("main").await, bus.spending().await.unwrap());
    let key = AccountKey::of_person(ANN, &today());
    let ask = r#"!high call everything__trigger-sampling-request {"prompt": "which colour?"}"#;
    let reply = terminal.asks(ask).await;
    assert!(reply.text.contains("all right"), "{}", reply.text);
    let spent = settled(&spending, &key).await;
    assert_eq!(spent.micros, ANSWER * 1_000_000, "one answer of the model");
    let nearly_all = |account: &mut Account| {
        account.spent.micros = 19_990 * 1_000_000;
        Some(())
    };
    spending.change(&key, nearly_all).await.unwrap().unwrap();
    let reply = terminal.asks(ask).await;
    assert!(!reply.text.contains("all right") && reply.text.contains("CLARA_BUDGET_USER_CENTS"), "{}", reply.text);
}

/// Whoever stops every answer has paid for what was given to read.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_stopped_is_paid_for() {
    let model = FakeModel::start(|_, _| Act::Stall).await;
    let plan = Sandbox::plan().with(model.as_openai()).set("CLARA_MODEL_MAX_TOKENS", 100);
    let sandbox = plan.set("CLARA_BUDGET_USER_TOKENS", 20_000).set("DEFAULT_TIMEZONE", "UTC").start().await;
    let (mut terminal, spending) = (sandbox.terminal("main").await, sandbox.bus().await.spending().await.unwrap());
    let message = terminal.says(&"word ".repeat(1000)).await;
    eventually("the model is asked", async || (model.asked().len() == 1).then_some(())).await;
    terminal.does(Saying::Stop).await;
    assert_eq!(terminal.reply_to(&message).await.kind, ReplyKind::Stopped);
    let spent = settled(&spending, &AccountKey::of_person(ANN, &today())).await;
    assert!((1000..20_000).contains(&spent.tokens), "{spent:?}");
}

/// Whom an answer is for also pays for what is asked around it: which model answers, and what
/// is learnt. Without a budget left, defaults and rules do it, and nobody is asked.
#[tokio::test(flavor = "multi_thread")]
async fn choosing_a_model_and_learning_are_paid_for_and_go_on_by_rules_without() {
    let model = FakeModel::start(|asked, _| match asked.body["messages"][0]["content"].to_string() {
        system if system.contains("You sort requests") => Act::say("LOW"),
        system if system.contains("You note what a person says") => Act::say(r#"{"facts": [{"text": "I like tea"}]}"#),
        _ => Act::say("all right"),
    })
    .await;
    let plan =
        Sandbox::plan().with(model.as_openai()).set("CLARA_MODEL_MAX_TOKENS", 100).set("DEFAULT_TIMEZONE", "UTC");
    let plan = plan.set("CLARA_LEARNING", "model").set("AUTO_TIER_SELECTION", true);
    let sandbox = plan.set("CLARA_BUDGET_USER_TOKENS", 20_000).start().await;
    let (bus, mut terminal) = (sandbox.bus().await, sandbox.terminal("main").await);
    let (spending, key) = (bus.spending().await.unwrap(), AccountKey::of_person(ANN, &today()));
    assert_eq!(terminal.asks("I like tea").await.tier.as_str(), "low");
    known(&bus, ANN, &["I like tea"]).await;
    assert_eq!(settled(&spending, &key).await.tokens, 3 * ANSWER, "sorted, answered and learnt");
    assert_eq!(model.asked().len(), 3);
    let all = |account: &mut Account| {
        account.spent.tokens = 20_000;
        Some(())
    };
    spending.change(&key, all).await.unwrap().unwrap();
    stopped(&terminal.asks("hello").await, "used up");
    ask(&bus, ANN, FactCommand::Learn { text: "I live in Berlin.".into(), apply: true }).await.unwrap();
    known(&bus, ANN, &["I live in Berlin", "I like tea"]).await;
    assert_eq!(model.asked().len(), 3, "nobody was asked");
}
