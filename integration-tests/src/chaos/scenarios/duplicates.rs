//! The same again, in another order, or unreadable.

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use futures::StreamExt;

use super::{Length, plan};
use crate::chaos::report::Row;
use crate::chaos::stage::{Stage, TALK};

/// The same platform message five times: at once through two adapters, after
/// the bus has forgotten it, and after the bus was restarted.
pub(super) async fn same_again(name: &'static str, _: Length, seed: u64) -> Row {
    let stage = Stage::start(plan().replicas(2), seed).await;
    let mut said = Vec::new();
    for number in 0..8 {
        let person = stage.people.person(number);
        let (id, key) = (format!("platform-{number}"), format!("d{number}"));
        let kind = TALK[stage.draw(TALK.len())];
        let offers = (0..5).map(|_| person.offers(&id, &key, kind));
        futures::future::join_all(offers).await;
        said.push((person, id, key, kind));
    }
    stage.people.all_answered(Duration::from_secs(60)).await;
    // Two hours later the bus knows no id any more: the same events once more,
    // under ids that it has never seen.
    repeat_inbound(stage.url(), |at, _| Some(at)).await;
    for (person, id, key, kind) in &said {
        person.offers(id, key, *kind).await;
    }
    {
        let mut sandbox = stage.sandbox().await;
        sandbox.nats.kill();
        sandbox.nats.restart();
    }
    for (person, id, key, kind) in &said {
        person.offers(id, key, *kind).await;
    }
    stage.settle(name, None).await
}

/// Everything again in reverse, and things that nobody can read.
pub(super) async fn out_of_order_and_poison(name: &'static str, _: Length, seed: u64) -> Row {
    let stage = Stage::start(plan().replicas(2), seed).await;
    let load = stage.load(0..8, TALK);
    tokio::time::sleep(Duration::from_secs(2)).await;
    repeat_inbound(stage.url(), |at, count| Some(count - 1 - at)).await;
    let client = async_nats::connect(stage.url()).await.unwrap();
    let someone = stage.people.person(0).conversation;
    let nobody = stage.people.person(1000).conversation;
    for subject in [
        format!("clara.v1.inbound.{}.{someone}", someone.partition()),
        format!("clara.v1.turn.prepare.{nobody}"),
        format!("clara.v1.turn.run.{nobody}"),
        "clara.v1.tool.builtin".to_owned(),
        format!("clara.v1.outbound.cli.{nobody}"),
    ] {
        client.publish(subject, vec![0xff; 16].into()).await.unwrap();
    }
    client.flush().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let context = async_nats::jetstream::new(client);
    let dead = context.get_stream("CLARA_DEAD").await.unwrap().cached_info().state.messages;
    if dead != 5 {
        stage.violation(format!("{dead} of 5 unreadable messages were put aside"));
    }
    stage.heal();
    stage.settle(name, Some(load)).await
}

/// Every third item that is queued for a worker is queued once more under no id,
/// so that two replicas work on it at the same time.
pub(super) async fn everything_twice(name: &'static str, _: Length, seed: u64) -> Row {
    let stage = Stage::start(plan().replicas(2), seed).await;
    let client = async_nats::connect(stage.url()).await.unwrap();
    let mut queued = futures::stream::select_all([
        client.subscribe("clara.v1.turn.>").await.unwrap(),
        client.subscribe("clara.v1.tool.>").await.unwrap(),
        client.subscribe("clara.v1.outbound.>").await.unwrap(),
    ]);
    let context = async_nats::jetstream::new(client);
    let repeating = tokio::spawn(async move {
        let mut place = 0;
        while let Some(message) = queued.next().await {
            place += 1;
            if place % 3 != 0 {
                continue;
            }
            // What carries an id is the first one; its echo carries none.
            if message.headers.as_ref().is_some_and(|headers| headers.get("Nats-Msg-Id").is_some()) {
                let stored = context.publish(message.subject.clone(), message.payload.clone()).await;
                // The stream may have no room for it, or no server may be there.
                let _ = stored.unwrap().await;
            }
        }
    });
    let load = stage.load(0..12, TALK);
    tokio::time::sleep(Duration::from_secs(6)).await;
    repeating.abort();
    stage.heal();
    stage.settle(name, Some(load)).await
}

/// Publishes what the inbound stream holds again, without ids, in the order
/// that `place` gives for each place and the count.
async fn repeat_inbound(url: &str, place: impl Fn(usize, usize) -> Option<usize>) {
    let context = async_nats::jetstream::new(async_nats::connect(url).await.unwrap());
    let stream = context.get_stream("CLARA_INBOUND").await.unwrap();
    let count = usize::try_from(stream.cached_info().state.messages).unwrap();
    let consumer = stream.create_consumer(pull::OrderedConfig::default()).await.unwrap();
    let kept: Vec<_> = consumer.messages().await.unwrap().take(count).map(|message| message.unwrap()).collect().await;
    for at in 0..count {
        let Some(message) = place(at, count).and_then(|at| kept.get(at)) else { continue };
        let stored = context.publish(message.subject.clone(), message.payload.clone()).await.unwrap();
        stored.await.unwrap();
    }
}
