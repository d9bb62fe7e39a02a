//! Takes handled messages out of the inbound stream after a while.

use std::collections::VecDeque;
use std::time::Duration;

use bus::Bus;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How often the partitions are looked at, within the time they keep messages.
const LOOKS: u32 = 6;

/// Runs until `stop`. Every replica may: taking out what is out is no work.
pub(crate) async fn run(bus: Bus, keep: Duration, stop: CancellationToken) -> anyhow::Result<()> {
    // What was handled then; after `keep` it is old enough to go.
    let mut looks = VecDeque::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(keep / LOOKS) => {}
        }
        match bus.inbound_handled().await {
            Ok(handled) => looks.push_back((Instant::now(), handled)),
            Err(err) => warn!(error = %err, "failed to see what was handled; trying again later"),
        }
        while let Some((_, handled)) = looks.pop_front_if(|(at, _)| at.elapsed() >= keep) {
            match bus.purge_inbound(&handled).await {
                Ok(purged) => debug!(purged, "took handled messages out"),
                Err(err) => warn!(error = %err, "failed to take handled messages out; trying again later"),
            }
        }
    }
}
