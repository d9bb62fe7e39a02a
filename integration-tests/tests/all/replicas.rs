//! Two of everything as separate processes, and what happens when one goes.

use std::time::Duration;

use domain::turn::ReplyKind;
use futures::StreamExt;
use futures::future::join_all;
use testkit::eventually;
use testkit::model::{Act, FakeModel};
use testkit::sandbox::Sandbox;
use testkit::terminal::Terminal;

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_answer_once_and_in_order() {
    let sandbox = Sandbox::plan().replicas(2).start().await;
    let bus = sandbox.bus().await;
    let people = (0..10).map(|person| {
        let bus = bus.clone();
        async move {
            let mut terminal = Terminal::open(bus, &format!("user-{person}"), "main").await;
            let mut sent = Vec::new();
            for n in 0..10 {
                sent.push(terminal.says(&format!("call calculate with {{\"expression\": \"{n}+0\"}}")).await);
            }
            for (n, message) in sent.into_iter().enumerate() {
                let reply = terminal.hears().await;
                assert_eq!((reply.answers, reply.text), (vec![message], format!("{n}+0 = {n}")));
            }
            assert!(terminal.hears_nothing_for(Duration::from_millis(300)).await);
        }
    });
    join_all(people).await;
    // Two routers take turns in a conversation; neither is held up by what the
    // other wrote.
    let held_up = |(_, log): &(String, String)| log.contains("failed to route an event");
    assert!(!sandbox.logs().iter().any(held_up), "{:?}", sandbox.logs().into_iter().find(held_up));
}

#[tokio::test(flavor = "multi_thread")]
async fn turn_goes_on_elsewhere_when_its_orchestrator_is_told_to_stop() {
    let model = FakeModel::start(|asked, _| match asked.results.len() {
        0 => Act::call("calculate", r#"{"expression": "6*7"}"#),
        _ => Act::After(Duration::from_secs(8), Box::new(Act::say(asked.results.join("")))),
    })
    .await;
    let plan = Sandbox::plan().set("CLARA_SHUTDOWN_GRACE_SECONDS", 4).with(model.as_openai());
    let mut sandbox = plan.start().await;
    let mut terminal = sandbox.terminal("main").await;
    let message = terminal.says("sum").await;
    eventually("the second step has begun", async || (model.asked().len() == 2).then_some(())).await;
    sandbox.terminate("orchestrator", 0);
    sandbox.start_service("orchestrator", 1);
    let reply = terminal.reply_to(&message).await;
    assert_eq!((reply.kind, reply.text.as_str()), (ReplyKind::Answered, "6*7 = 42"));
    assert!(sandbox.service("orchestrator", 0).ended(Duration::from_secs(10)).await.success());
    // The first step is not asked again: its answer stands in the journal.
    let first_steps = model.asked().iter().filter(|asked| asked.results.is_empty()).count();
    assert_eq!(first_steps, 1);
    assert_eq!(model.asked().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn turn_that_takes_longer_than_a_lease_stays_where_it_is() {
    // `ack_wait` is 30 s: without confirmed progress it would be run elsewhere.
    let model = FakeModel::start(|_, _| Act::After(Duration::from_secs(40), Box::new(Act::say("at last")))).await;
    let sandbox = Sandbox::plan().replicas(2).with(model.as_openai()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let reply = terminal.asks("think").await;
    assert_eq!((reply.kind, reply.text.as_str()), (ReplyKind::Answered, "at last"));
    assert_eq!(model.asked().len(), 1, "nobody asked again");
    let journals = sandbox.bus().await.journals().await.unwrap();
    assert_eq!(journals.read(&reply.conversation, reply.turn).await.unwrap().state().epoch, 1, "nobody claimed it");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_orchestrator_loses_nothing_and_doubles_nothing() {
    let model = FakeModel::start(|asked, number| match number {
        0 => Act::After(Duration::from_secs(600), Box::new(Act::say("too late"))),
        _ => Act::say(format!("re: {}", asked.last_user)),
    })
    .await;
    let plan = Sandbox::plan().with(model.as_openai());
    let mut sandbox = plan.start().await;
    let mut terminal = sandbox.terminal("main").await;
    let first = terminal.says("one").await;
    let second = terminal.says("two").await;
    eventually("the model was asked", async || (!model.asked().is_empty()).then_some(())).await;
    sandbox.kill("orchestrator", 0);
    sandbox.start_service("orchestrator", 1);
    let reply = terminal.hears().await;
    assert_eq!((reply.answers, reply.text.as_str()), (vec![first], "re: one"));
    assert_eq!(terminal.hears().await.answers, [second]);
    assert!(terminal.hears_nothing_for(Duration::from_millis(500)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_router_adapter_and_processor_lose_nothing() {
    let mut sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    let mut sent = Vec::new();
    for n in 0..20 {
        sent.push(terminal.says(&format!("say {n}")).await);
        if n == 10 {
            for service in ["router", "processor", "tool-runner", "memory"] {
                sandbox.kill(service, 0);
                sandbox.start_service(service, 1);
            }
        }
    }
    sandbox.kill("adapter-cli", 0);
    sandbox.start_service("adapter-cli", 1);
    for (n, message) in sent.into_iter().enumerate() {
        let reply = terminal.hears().await;
        assert_eq!((reply.answers, reply.text), (vec![message], n.to_string()));
    }
    assert!(terminal.hears_nothing_for(Duration::from_millis(500)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn bus_that_is_killed_and_comes_back_loses_nothing() {
    let mut sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    let mut sent = Vec::new();
    for n in 0..10 {
        sent.push(terminal.says(&format!("say {n}")).await);
    }
    sandbox.nats.kill();
    sandbox.nats.restart();
    for (n, message) in sent.into_iter().enumerate() {
        let reply = terminal.hears().await;
        assert_eq!((reply.answers, reply.text), (vec![message], n.to_string()));
    }
    assert_eq!(terminal.asks("say after").await.text, "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn second_signal_exits_at_once() {
    let model = FakeModel::start(|_, _| Act::After(Duration::from_secs(600), Box::new(Act::say("late")))).await;
    let plan = Sandbox::plan().with(model.as_openai());
    let mut sandbox = plan.start().await;
    let terminal = sandbox.terminal("main").await;
    terminal.says("wait").await;
    eventually("the model was asked", async || (!model.asked().is_empty()).then_some(())).await;
    sandbox.terminate("orchestrator", 0);
    let draining = |log: String| log.contains("finishing what is in work").then_some(());
    eventually("it is draining", async || draining(sandbox.service("orchestrator", 0).log())).await;
    sandbox.terminate("orchestrator", 0);
    assert_eq!(sandbox.service("orchestrator", 0).ended(Duration::from_secs(5)).await.code(), Some(143));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_work_item_waits_while_its_turn_runs_here_and_is_settled_after_it() {
    let model = FakeModel::start(|_, _| Act::After(Duration::from_secs(4), Box::new(Act::say("once")))).await;
    let sandbox = Sandbox::plan().with(model.as_openai()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let client = async_nats::connect(sandbox.nats.url()).await.unwrap();
    let mut items = client.subscribe("clara.v1.turn.run.*").await.unwrap();
    let context = async_nats::jetstream::new(client);
    let message = terminal.says("one").await;
    let item = items.next().await.unwrap();
    eventually("the model was asked", async || (!model.asked().is_empty()).then_some(())).await;
    // Without an id it is another item of the same turn, as after a restart of the server.
    context.publish(item.subject, item.payload).await.unwrap().await.unwrap();
    let queue = context.get_stream("CLARA_TURNS").await.unwrap();
    eventually("it came back once at least, and nobody else's was touched", async || {
        let mut orchestrator =
            queue.get_consumer::<async_nats::jetstream::consumer::pull::Config>("orchestrator").await.unwrap();
        let info = orchestrator.info().await.unwrap();
        (info.num_redelivered > 0 && info.num_ack_pending == 2).then_some(())
    })
    .await;
    assert_eq!(terminal.reply_to(&message).await.text, "once");
    eventually("both items are settled", async || (queue.get_info().await.unwrap().state.messages == 0).then_some(()))
        .await;
    assert_eq!(model.asked().len(), 1);
    assert_eq!(terminal.asks("two").await.text, "once");
    assert_eq!(model.asked().len(), 2);
}
