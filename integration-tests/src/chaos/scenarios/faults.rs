//! A vendor that fails, and streams that are full.

use std::time::Duration;

use futures::future::join_all;

use super::{Length, plan};
use crate::chaos::ledgers::Kind;
use crate::chaos::report::Row;
use crate::chaos::stage::{Stage, TALK};

/// Room that is left in a stream that is about to be full, in bytes.
const ROOM: i64 = 16 * 1024;

/// Each fault in a conversation of its own, with a message after it.
pub(super) async fn of_the_model(name: &'static str, length: Length, seed: u64) -> Row {
    let stage = Stage::start(plan(), seed).await;
    let kinds = [
        Kind::RateLimited(5),
        Kind::RateLimited(3600),
        Kind::Broken,
        Kind::TimedOut,
        Kind::Cut(1),
        Kind::Cut(3),
        Kind::Stalled,
        Kind::Malformed,
        Kind::UnknownTool,
        Kind::ManyCalls,
    ];
    let rounds = if length == Length::Long { 3 } else { 1 };
    for _ in 0..rounds {
        let conversations = kinds.iter().enumerate().map(|(number, kind)| {
            let person = stage.people.person(number);
            async move {
                person.says(*kind).await;
                person.says(Kind::Say).await;
            }
        });
        join_all(conversations).await;
        stage.people.all_answered(Duration::from_secs(60)).await;
    }
    let mut row = stage.settle(name, None).await;
    // Only the rate limit of an hour is worth a word instead of an answer.
    if row.failed.len() != rounds {
        row.violations.push(format!("{} messages failed, and {rounds} must: {:?}", row.failed.len(), row.failed));
    }
    row
}

/// One stream after the other has no more room, until the operator makes some.
pub(super) async fn streams_full(name: &'static str, length: Length, seed: u64) -> Row {
    let stage = Stage::start(plan(), seed).await;
    let context = async_nats::jetstream::new(async_nats::connect(stage.url()).await.unwrap());
    let load = stage.load(0..8, TALK);
    let all = ["CLARA_INBOUND", "CLARA_TURNS", "CLARA_OUTBOUND", "CLARA_TOOLS", "KV_CLARA_CONVERSATIONS"];
    let streams = if length == Length::Long { &all[..] } else { &all[..2] };
    for stream in streams {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let found = context.get_stream(*stream).await.unwrap();
        let (mut config, used) = (found.cached_info().config.clone(), found.cached_info().state.bytes);
        let limit = config.max_bytes;
        // The server cuts no stream below what it holds.
        config.max_bytes = i64::try_from(used).unwrap() + ROOM;
        context.update_stream(&config).await.unwrap();
        tokio::time::sleep(Duration::from_secs(8)).await;
        config.max_bytes = limit;
        context.update_stream(&config).await.unwrap();
    }
    stage.heal();
    let refused = stage.people.refused();
    let mut row = stage.settle(name, Some(load)).await;
    if refused == 0 {
        row.violations.push("nobody was told that there is no room".to_owned());
    }
    row
}
