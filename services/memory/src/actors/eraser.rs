//! Purges the journals of turns that were erased, until they are gone: a process
//! may be killed between the two, and the turn that asked is still running.

use std::sync::Arc;
use std::time::Duration;

use bus::JournalStore;
use service_kit::clock::now_ms;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::facts::purge;
use super::projector::describe;
use crate::bell::Bell;
use crate::ports::Facts;

/// Turns that are purged before it is asked for more.
const TURNS: u32 = 100;
/// Wait for what another replica erased.
const PAUSE: Duration = Duration::from_secs(30);
/// How long a turn must have been erased: the one that asked has ended by then.
const QUIET: Duration = Duration::from_secs(600);

pub(crate) struct Eraser {
    pub(crate) facts: Arc<dyn Facts>,
    pub(crate) journals: JournalStore,
    /// Rings when something was stored, or erased.
    pub(crate) stored: Bell,
}

impl Eraser {
    pub(crate) async fn run(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut heard = self.stored.listen();
        while !stop.is_cancelled() {
            let before = now_ms() - i64::try_from(QUIET.as_millis()).unwrap_or(i64::MAX);
            match self.facts.unpurged(before, TURNS).await {
                Ok(turns) => {
                    for (conversation, turn) in turns {
                        purge(self.facts.as_ref(), &self.journals, &conversation, turn).await;
                    }
                }
                Err(err) => warn!(why = describe(err), "failed to look for journals to purge"),
            }
            stop.run_until_cancelled(heard.next(PAUSE)).await;
        }
        Ok(())
    }
}
