//! One at a time, in order; many conversations at once.

use std::collections::BTreeSet;

use domain::turn::ReplyKind;
use futures::future::join_all;
use testkit::model::{Act, FakeModel};
use testkit::sandbox::Sandbox;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_quick_messages_are_answered_in_order() {
    let sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    let mut sent = Vec::new();
    for n in 0..50 {
        sent.push(terminal.says(&format!("say {n}")).await);
    }
    for (n, message) in sent.iter().enumerate() {
        let reply = terminal.hears().await;
        assert_eq!(reply.answers, std::slice::from_ref(message));
        assert_eq!(reply.text, n.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_conversations_are_answered_at_once() {
    // Every answer takes three seconds: one after the other, the last would come
    // after ten minutes, long past the deadline.
    let model = FakeModel::start(|asked, _| {
        Act::After(std::time::Duration::from_secs(3), Box::new(Act::say(format!("re: {}", asked.last_user))))
    })
    .await;
    let plan = Sandbox::plan().with(model.as_openai());
    let sandbox = plan.start().await;
    let bus = sandbox.bus().await;
    let conversations = (0..200).map(|n| {
        let bus = bus.clone();
        async move {
            let mut terminal = testkit::terminal::Terminal::open(bus, &format!("user-{n}"), "main").await;
            let reply = terminal.asks(&format!("message {n}")).await;
            assert_eq!((reply.kind, reply.text), (ReplyKind::Answered, format!("re: message {n}")));
            terminal.conversation.to_string()
        }
    });
    let answered: BTreeSet<String> = join_all(conversations).await.into_iter().collect();
    assert_eq!(answered.len(), 200);
    assert_eq!(model.asked().len(), 200, "each was asked once");
    assert_eq!(model.faults(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn message_offered_again_is_one_message() {
    let sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    for _ in 0..5 {
        terminal.offer("same-id", proto::terminal::Saying::text("say once")).await;
    }
    let last = terminal.says("say last").await;
    assert_eq!(terminal.hears().await.text, "once");
    assert_eq!(terminal.hears().await.answers, [last]);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_may_wait_is_refused_visibly_and_the_rest_is_answered() {
    let sandbox = Sandbox::plan().set("CLARA_MAX_WAITING_MESSAGES", 3).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let first = terminal.says("count to 30").await;
    let mut sent = vec![first];
    for n in 0..5 {
        sent.push(terminal.says(&format!("say {n}")).await);
    }
    let (mut refused, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        let reply = terminal.hears().await;
        match reply.kind {
            ReplyKind::Refused => refused.extend(reply.answers),
            ReplyKind::Answered => answered.extend(reply.answers),
            other => panic!("{other:?}: {}", reply.text),
        }
    }
    // Refusals are told at once, each naming its message, and not in turn.
    refused.sort();
    let mut expected = sent[4..].to_vec();
    expected.sort();
    assert_eq!(refused, expected);
    assert_eq!(answered, sent[..4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn handled_messages_make_room_on_the_bus() {
    let sandbox = Sandbox::plan().set("CLARA_INBOUND_KEEP_SECONDS", 1).start().await;
    let mut terminal = sandbox.terminal("main").await;
    for n in 0..5 {
        terminal.asks(&format!("say {n}")).await;
    }
    let bus = sandbox.bus().await;
    testkit::eventually("the inbound stream is empty", async || (bus.inbound_kept().await.unwrap() == 0).then_some(()))
        .await;
    assert_eq!(terminal.asks("say after").await.text, "after");
}
