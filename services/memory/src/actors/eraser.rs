//! Takes turns that were erased, and their files, off the bus until they are gone: a process
//! may be killed before, a reply may still be on its way, and the turn that asked is running.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use service_kit::clock::now_ms;

use super::projector::describe;
use super::traces::Traces;
use crate::background::Work;
use crate::ports::{Facts, Unpurged};

/// Turns, and files, that are purged before it is asked for more.
const TURNS: u32 = 100;
/// Wait for what another replica erased.
pub(crate) const PAUSE: Duration = Duration::from_secs(30);
/// How long a turn must have been erased: the one that asked has ended by then.
const QUIET: Duration = Duration::from_secs(600);

pub(crate) struct Eraser {
    pub(crate) facts: Arc<dyn Facts>,
    pub(crate) traces: Traces,
}

#[async_trait]
impl Work for Eraser {
    /// Purges the journals and files that are due; there may be more when all of these are gone.
    async fn step(&self) -> Result<bool, String> {
        let before = now_ms() - i64::try_from(QUIET.as_millis()).unwrap_or(i64::MAX);
        let turns = self.facts.unpurged(before, TURNS).await.map_err(describe)?;
        let files = self.facts.unpurged_files(TURNS).await.map_err(describe)?;
        let mut are_gone = !turns.is_empty() || !files.is_empty();
        for Unpurged { conversation, turn, is_erased } in turns {
            let is_gone = if is_erased {
                self.traces.erase(&conversation, turn).await
            } else if self.traces.has_ended(&conversation, turn).await {
                self.traces.erase_prompts(&conversation, turn).await
            } else {
                // One that has not ended needs its journal to go on.
                self.facts.postpone_purge(turn, now_ms()).await.map_err(describe)?;
                continue;
            };
            are_gone &= is_gone;
            if is_gone {
                self.facts.note_purged(turn, is_erased).await.map_err(describe)?;
            }
        }
        for of in &files {
            are_gone &= self.traces.purge_file(self.facts.as_ref(), of).await;
        }
        Ok(are_gone)
    }
}
