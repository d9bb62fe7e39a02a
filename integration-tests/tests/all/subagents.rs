//! Turns that do a part of another's work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bus::AccountKey;
use domain::approval::ApprovalMode;
use domain::memory::FactCommand;
use domain::turn::ReplyKind;
use integration_tests::chaos::ledgers::ToolServer;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proto::terminal::Saying;
use serde_json::json;
use testkit::eventually;
use testkit::model::{Act, Asked, FakeModel};
use testkit::postgres::Postgres;
use testkit::sandbox::Sandbox;

use crate::asking::{ANN, Group, ask};

/// Spawns as told: `spawn <arguments>`, several with ` && ` between; a sub-agent answers its
/// task, stalls, or charges.
async fn agents(stalls: Arc<AtomicBool>) -> FakeModel {
    FakeModel::start(move |asked: &Asked, _| {
        if let Some(task) = asked.last_user.strip_prefix("task ") {
            return match task {
                "stall" if stalls.load(Ordering::SeqCst) => Act::Stall,
                "nest" if asked.results.is_empty() => {
                    Act::call("subagent_spawn", &json!({"task": "task x"}).to_string())
                }
                "nest" => Act::say(asked.results[0].clone()),
                "tools" => {
                    let tools = asked.body["tools"].as_array().into_iter().flatten();
                    let names: Vec<&str> = tools.filter_map(|tool| tool["function"]["name"].as_str()).collect();
                    Act::say(format!("offered {}.", names.join(" ")))
                }
                "charge" if asked.results.is_empty() => Act::call("charge", "{}"),
                other => Act::say(format!("done {other}")),
            };
        }
        if !asked.results.is_empty() {
            return Act::say(asked.results.join(" | "));
        }
        // In a group it stands after a name.
        let said = asked.last_user.rsplit("]: ").next().unwrap_or_default();
        let calls: Vec<(String, String)> = said
            .split(" && ")
            .filter_map(|call| call.split_once(' '))
            .filter(|(name, _)| name.starts_with("subagent_"))
            .map(|(name, arguments)| (name.to_owned(), arguments.to_owned()))
            .collect();
        match calls.is_empty() {
            true => Act::say("all right"),
            false => Act::Call(String::new(), calls),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn several_work_side_by_side_and_what_they_find_comes_back() {
    let model = agents(Arc::default()).await;
    let sandbox = Sandbox::plan().with(model.as_openai()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let reply = terminal
        .asks(r#"subagent_spawn {"task": "task My dog is called Rex."} && subagent_spawn {"task": "task two", "tier": "high"}"#)
        .await;
    assert_eq!(reply.kind, ReplyKind::Answered, "{}", reply.text);
    assert!(reply.text.contains("<untrusted") && reply.text.contains("done two"), "{}", reply.text);
    let listed = terminal.asks("subagent_list {}").await.text;
    assert!(listed.contains("done two") && listed.contains("done My dog is called Rex."), "{listed}");
    // It may be given some tools alone.
    let some = terminal.asks(r#"subagent_spawn {"task": "task tools", "tool_subset": ["calcul*", "group:web"]}"#).await;
    let names = "calculate fetch_page";
    assert!(some.text.contains(&format!("offered {names}.")), "{}", some.text);
    // One of its own it has none.
    let nested = terminal.asks(r#"subagent_spawn {"task": "task nest"}"#).await;
    assert!(nested.text.contains("a sub-agent has none of its own"), "{}", nested.text);
    // What a model told another is nothing that the person said.
    let bus = sandbox.bus().await;
    let learnt = async || ask(&bus, ANN, FactCommand::Stats).await.unwrap().counts;
    eventually("all was learnt from", async || {
        learnt().await.iter().any(|count| count.name == "turns to learn from" && count.value == 0).then_some(())
    })
    .await;
    assert!(learnt().await.iter().any(|count| count.name == "memories" && count.value == 0), "{:?}", learnt().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_five_run_and_they_are_stopped_one_or_all() {
    let stalls = Arc::new(AtomicBool::new(true));
    let model = agents(Arc::clone(&stalls)).await;
    let postgres = Postgres::start();
    let plan = Sandbox::plan().with(model.as_openai()).set("DATABASE_URL", postgres.url());
    let sandbox = plan.start().await;
    let mut terminal = sandbox.terminal("main").await;
    let spawn = r#"subagent_spawn {"task": "task stall", "wait": false}"#;
    for _ in 0..5 {
        assert!(terminal.asks(spawn).await.text.contains("Begun as"));
    }
    let sixth = terminal.asks(spawn).await;
    assert!(sixth.text.contains("5 sub-agents run already"), "{}", sixth.text);
    let listed = terminal.asks("subagent_list {}").await.text;
    assert_eq!(listed.matches(": running").count(), 5, "{listed}");
    let id = listed.split("- ").nth(1).unwrap().split(':').next().unwrap().to_owned();
    let steered = terminal.asks(&format!(r#"subagent_steer {{"id": "{id}", "instruction": "hurry"}}"#)).await;
    assert!(steered.text.contains("at its next step"), "{}", steered.text);
    assert!(terminal.asks(&format!(r#"subagent_kill {{"id": "{id}"}}"#)).await.text.contains("Stopped 1."));
    assert!(terminal.asks(r#"subagent_kill {"id": "none"}"#).await.text.contains("no sub-agent"));
    let stopped = async || terminal.asks("subagent_list {}").await.text.matches("It was stopped.").count();
    let mut stopped = stopped;
    eventually("one was stopped", async || (stopped().await == 1).then_some(())).await;
    assert!(terminal.asks(r#"subagent_kill {"id": "all"}"#).await.text.contains("Stopped 4."));
    // Nor do more run when they come all at once.
    let mut other = sandbox.terminal("other").await;
    let at_once = other.asks(&[spawn; 7].join(" && ")).await;
    assert_eq!(at_once.text.matches("Begun as").count(), 5, "{}", at_once.text);
    assert_eq!(at_once.text.matches("5 sub-agents run already").count(), 2, "{}", at_once.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_begun_twice_is_one_whatever_is_killed() {
    let stalls = Arc::new(AtomicBool::new(true));
    let (model, tools) = (agents(Arc::clone(&stalls)).await, ToolServer::start().await);
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    std::fs::write(&policy, "[[rule]]\nruling = 'allow'\ntools = ['charge']\n").unwrap();
    let plan = Sandbox::plan().with(model.as_openai()).set("CLARA_LEDGER", tools.address);
    let mut sandbox = plan.set("CLARA_POLICY_FILE", policy.display()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let message =
        terminal.says(r#"subagent_spawn {"task": "task stall"} && subagent_spawn {"task": "task charge"}"#).await;
    eventually("the sub-agents work", async || {
        let asked = model.asked();
        (asked.iter().any(|asked| asked.last_user == "task stall") && tools.runs().len() == 1).then_some(())
    })
    .await;
    sandbox.kill("tool-runner", 0);
    sandbox.start_service("tool-runner", 1);
    stalls.store(false, Ordering::SeqCst);
    sandbox.kill("orchestrator", 0);
    sandbox.start_service("orchestrator", 1);
    let reply = terminal.reply_to(&message).await;
    assert!(reply.text.contains("done stall") && reply.text.contains("done charge"), "{}", reply.text);
    assert_eq!(tools.runs().len(), 1, "what it did is done once");
}

/// What holds where a sub-agent was begun holds for it: rules of that channel, which calls are
/// asked for, and whose budget is used.
#[tokio::test(flavor = "multi_thread")]
async fn a_sub_agent_may_no_more_than_where_it_was_begun() {
    let (model, tools) = (agents(Arc::default()).await, ToolServer::start().await);
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    let rules = "[[rule]]\nruling = 'deny'\nchannels = ['cli/closed']\ntools = ['charge']\n\
                 [[rule]]\nruling = 'allow'\ntools = ['charge']\n";
    std::fs::write(&policy, rules).unwrap();
    let plan = Sandbox::plan().with(model.as_openai()).set("CLARA_LEDGER", tools.address);
    let plan = plan.set("CLARA_BUDGET_CHANNEL_TOKENS", 1_000_000).set("DEFAULT_TIMEZONE", "UTC");
    let sandbox = plan.set("CLARA_POLICY_FILE", policy.display()).start().await;
    let spawn = r#"subagent_spawn {"task": "task charge"}"#;
    let mut closed = sandbox.terminal("closed").await;
    closed.asks(spawn).await;
    assert!(
        model.asked().iter().any(|asked| asked.results.iter().any(|told| told.contains("there is no tool `charge`")))
    );
    assert!(tools.runs().is_empty());
    let mut open = sandbox.terminal("open").await;
    assert!(open.asks(spawn).await.text.contains("done charge"));
    assert_eq!(tools.runs().len(), 1);
    open.does(Saying::Approval(ApprovalMode::Chat)).await;
    // The spawn itself is asked for too.
    assert_eq!(open.asks(spawn).await.kind, ReplyKind::Question);
    let asked = open.asks("yes").await;
    assert!(asked.text.contains("It waits for the person's word"), "{}", asked.text);
    assert_eq!(tools.runs().len(), 1);
    let day = Timestamp::now().to_zoned(TimeZone::UTC).date().to_string();
    let key = AccountKey::of_channel(&closed.conversation, &day);
    let spending = sandbox.bus().await.spending().await.unwrap();
    let account = spending.change(&key, |account| Some(account.clone())).await.unwrap().unwrap();
    // Two of the turn, and two of its sub-agent.
    assert_eq!(account.spent.tokens, 4 * 18, "a day ended meanwhile?");
}

#[tokio::test(flavor = "multi_thread")]
async fn begun_in_a_group_it_knows_nothing_that_is_private() {
    let model = agents(Arc::default()).await;
    let sandbox = Sandbox::plan().with(model.as_openai()).set("MESSAGE_DEBOUNCE_SECONDS", 0).start().await;
    let bus = sandbox.bus().await;
    let text = "I keep my spare key under the blue stone".to_owned();
    let remember = FactCommand::Remember { id: "key".into(), text, is_key: true, project: String::new() };
    ask(&bus, ANN, remember).await.unwrap();
    let spawn = r#"subagent_spawn {"task": "task where is my spare key?"}"#;
    let read = |model: &FakeModel| {
        let asked = model.asked();
        let of_child = asked.iter().rfind(|asked| asked.last_user.starts_with("task "));
        of_child.unwrap().body.to_string().contains("blue stone")
    };
    assert!(sandbox.terminal("main").await.asks(spawn).await.text.contains("done where"));
    assert!(read(&model), "in private it knows");
    let mut group = Group::join(&bus).await;
    group.says(&bus, ANN, spawn, Vec::new()).await;
    assert!(group.hears().await.text.contains("done where"));
    assert!(!read(&model), "in a group it does not");
}
