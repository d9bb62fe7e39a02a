//! What becomes of messages that arrive while a turn runs, or in a group.

use std::time::Duration;

use domain::ids::{ConversationId, MessageId, Place};
use domain::message::{Audience, Event, Inbound, Principal, Route, UserMessage};
use domain::queue::QueueMode;
use domain::turn::ReplyKind;
use proto::terminal::Saying;
use testkit::eventually;
use testkit::model::{Act, Asked, FakeModel};
use testkit::sandbox::Sandbox;
use testkit::terminal::Terminal;

async fn choose(terminal: &mut Terminal, mode: QueueMode) {
    let chosen = terminal.does(Saying::Mode(mode)).await;
    assert_eq!(terminal.reply_to(&chosen).await.kind, ReplyKind::Notice);
}

/// Every text that people said in a request.
fn said(asked: &Asked) -> Vec<String> {
    let messages = asked.body["messages"].as_array().unwrap().iter();
    let people = messages.filter(|message| message["role"] == "user");
    people.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn collected_messages_share_one_answer() {
    let model = FakeModel::start(|asked, number| {
        let answer = Act::say(format!("{} messages", said(asked).len()));
        if number == 0 { Act::After(Duration::from_secs(2), Box::new(answer)) } else { answer }
    })
    .await;
    let sandbox = Sandbox::plan().with(model.as_openai()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    choose(&mut terminal, QueueMode::Collect).await;
    let first = terminal.says("one").await;
    let rest = [terminal.says("two").await, terminal.says("three").await, terminal.says("four").await];
    assert_eq!(terminal.hears().await.answers, [first]);
    let together = terminal.hears().await;
    assert_eq!(together.answers, rest);
    assert!(said(&model.asked()[1]).ends_with(&["two".into(), "three".into(), "four".into()]));
    assert_eq!(model.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn steer_reaches_the_running_turn_at_its_next_step() {
    let model = FakeModel::start(|asked, _| match asked.body.to_string().contains("\"role\":\"tool\"") {
        false => Act::After(Duration::from_secs(2), Box::new(Act::call("calculate", r#"{"expression": "6*7"}"#))),
        true => Act::say(said(asked).join(" + ")),
    })
    .await;
    let sandbox = Sandbox::plan().with(model.as_openai()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    choose(&mut terminal, QueueMode::Steer).await;
    let first = terminal.says("sum").await;
    eventually("the model was asked", async || (!model.asked().is_empty()).then_some(())).await;
    let second = terminal.says("in French").await;
    let reply = terminal.reply_to(&first).await;
    assert_eq!((reply.answers, reply.text.as_str()), (vec![first, second], "sum + in French"));
    assert_eq!(model.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn steer_during_a_crash_is_read_after_the_take_over() {
    let model = FakeModel::start(|asked, number| match number {
        0 => Act::Stall,
        _ => Act::say(said(asked).join(" + ")),
    })
    .await;
    let mut sandbox = Sandbox::plan().with(model.as_openai()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    choose(&mut terminal, QueueMode::Steer).await;
    let first = terminal.says("sum").await;
    eventually("the model was asked", async || (!model.asked().is_empty()).then_some(())).await;
    sandbox.kill("orchestrator", 0);
    let second = terminal.says("in French").await;
    sandbox.start_service("orchestrator", 1);
    let reply = terminal.reply_to(&first).await;
    assert_eq!((reply.answers, reply.text.as_str()), (vec![first, second], "sum + in French"));
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_message_stops_the_turn_and_begins_anew() {
    let model = FakeModel::start(|asked, _| match asked.last_user.as_str() {
        "long" => Act::After(Duration::from_secs(600), Box::new(Act::say("too late"))),
        other => Act::say(format!("re: {other}")),
    })
    .await;
    let sandbox = Sandbox::plan().with(model.as_openai()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    choose(&mut terminal, QueueMode::Interrupt).await;
    let first = terminal.says("long").await;
    eventually("the model was asked", async || (!model.asked().is_empty()).then_some(())).await;
    let second = terminal.says("short").await;
    let stopped = terminal.hears().await;
    assert_eq!((stopped.kind, stopped.answers), (ReplyKind::Stopped, vec![first]));
    let reply = terminal.hears().await;
    assert_eq!((reply.answers, reply.text.as_str()), (vec![second], "re: short"));
}

#[tokio::test(flavor = "multi_thread")]
async fn group_is_answered_together_after_it_fell_silent() {
    // Whoever shares a turn does not act with another's rights.
    let model = FakeModel::start(|asked, _| match asked.results.is_empty() {
        true => Act::call("forget", r#"{"which": "everything"}"#),
        false => Act::say(said(asked).join(" + ")),
    })
    .await;
    let sandbox = Sandbox::plan().set("MESSAGE_DEBOUNCE_SECONDS", 1).with(model.as_openai()).start().await;
    let bus = sandbox.bus().await;
    let place = Place { platform: "cli".into(), tenant: "t".into(), channel: "group".into(), thread: String::new() };
    let conversation = ConversationId::derive(&place);
    let mut replies = bus.follow_replies(&conversation, None).await.unwrap();
    let mut sent = Vec::new();
    for (n, name) in ["Ann", "Bob", "Ann"].into_iter().enumerate() {
        let id = MessageId::new("cli", &format!("group-{n}")).unwrap();
        let speaker = Principal { user: name.to_lowercase(), name: name.into(), tenant: "t".into() };
        let message = UserMessage {
            id: id.clone(),
            speaker,
            text: format!("part {n}"),
            attachments: vec![],
            tier: None,
            sent_at_ms: 0,
        };
        let route = Route { platform: "cli".into(), channel: "group".into(), audience: Audience::Group, parent: None };
        let event = Event::MessageReceived(message);
        let inbound = Inbound { conversation: conversation.clone(), route: Some(route), event };
        bus.accept(bus::Subject::Inbound(&conversation), &inbound.publish_id(), &inbound).await.unwrap();
        sent.push(id);
    }
    let (_, reply) = tokio::time::timeout(testkit::DEADLINE, replies.next()).await.unwrap().unwrap();
    assert_eq!(reply.answers, sent);
    assert_eq!(reply.text, "[Ann]: part 0 + [Bob]: part 1 + [Ann]: part 2");
    let asked = model.asked();
    let offered = asked[0].body["tools"].as_array().unwrap().iter().map(|tool| tool["function"]["name"].clone());
    assert_eq!(offered.collect::<Vec<_>>(), ["calculate", "current_time", "fetch_page"]);
    assert!(asked[1].results[0].contains("there is no tool `forget`"), "{:?}", asked[1].results);
    assert_eq!(asked.len(), 2);
}
