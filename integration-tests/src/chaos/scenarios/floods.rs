//! Ten thousand at once, and replicas that come and go under load.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::{Length, plan};
use crate::chaos::ledgers::Kind;
use crate::chaos::report::Row;
use crate::chaos::stage::{Stage, TALK};

/// Messages of the flood, and how many are offered at the same time.
const FLOOD: usize = 10_000;
const AT_ONCE: usize = 128;

/// Ten thousand messages in one conversation, while others talk on.
pub(super) async fn one_conversation(name: &'static str, _: Length, seed: u64) -> Row {
    // What the quota would refuse before the bus, the router must refuse after it.
    let open = plan().set("CLARA_QUOTA_USER_PER_MINUTE", 1_000_000);
    let stage = Stage::start(open.set("CLARA_QUOTA_CONVERSATION_PER_MINUTE", 1_000_000), seed).await;
    let load = stage.load(1..12, TALK);
    let flooder = stage.people.person(0);
    let mut offers = futures::stream::iter(0..FLOOD).map(|_| flooder.says(Kind::Say)).buffered(AT_ONCE);
    while offers.next().await.is_some() {}
    drop(offers);
    stage.heal();
    stage.settle(name, Some(load)).await
}

/// A thousand conversations of twenty messages, on one router and orchestrator,
/// then on four, then on two.
pub(super) async fn scaled(name: &'static str, _: Length, seed: u64) -> Row {
    let stage = Stage::start(plan(), seed).await;
    let (conversations, messages) = (1000, 20);
    let scaling = CancellationToken::new();
    let talk = async {
        let mut talking: FuturesUnordered<_> = (0..conversations)
            .map(|number| {
                let person = stage.people.person(number);
                async move {
                    for n in 0..messages {
                        let said = person.says(if n % 5 == 4 { Kind::Look } else { Kind::Say }).await;
                        if let Some(said) = said {
                            person.people.answered(&said.id, Duration::from_secs(300)).await;
                        }
                    }
                }
            })
            .collect();
        while talking.next().await.is_some() {}
        scaling.cancel();
    };
    let scale = async {
        pause(&scaling, 15).await;
        for replica in 1..4 {
            for service in ["router", "orchestrator"] {
                stage.sandbox().await.start_service(service, replica);
            }
        }
        pause(&scaling, 30).await;
        for replica in 2..4 {
            for service in ["router", "orchestrator"] {
                stage.sandbox().await.terminate(service, replica);
            }
        }
        stage.heal();
    };
    tokio::join!(talk, scale);
    stage.settle(name, None).await
}

async fn pause(ended: &CancellationToken, seconds: u64) {
    // Whichever comes first.
    let _ = tokio::time::timeout(Duration::from_secs(seconds), ended.cancelled()).await;
}
