//! Runs a call between its two records.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bus::{Claim, Delivery, Handler, PublishError, Records, Verdict};
use domain::guard::cut_result;
use domain::ids::CallId;
use domain::tool::{Outcome, OutcomeKind, Resume, ToolRecord, ToolRequest, resume};
use service_kit::crash::{CrashPoint, crash_point};
use tracing::{info, instrument, warn};

use crate::registry::{Registered, Registry};

const RETRY: Duration = Duration::from_millis(500);

pub(crate) struct Runner {
    pub(crate) records: Records<ToolRecord>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) replica: String,
    pub(crate) result_chars: usize,
}

#[async_trait]
impl Handler<ToolRequest> for Runner {
    #[instrument(name = "execute_tool", skip_all, fields(call = %request.call, tool = request.name))]
    async fn handle(&self, request: ToolRequest, delivery: &Delivery) -> Verdict {
        match delivery.keep_alive(self.run(&request)).await {
            None => Verdict::Leave,
            Some(Ok(())) => {
                crash_point(CrashPoint::ToolDone);
                Verdict::Done
            }
            Some(Err(err)) => {
                warn!(error = %err, "failed to record a tool call; trying again");
                Verdict::RetryAfter(RETRY)
            }
        }
    }
}

impl Runner {
    async fn run(&self, request: &ToolRequest) -> Result<(), PublishError> {
        let found = self.records.read(request.call).await?;
        let place = found.as_ref().map_or(0, |found| found.sequence);
        let tool = match self.registry.check(&request.name, &request.arguments) {
            Ok(tool) => tool,
            // Nothing began: the model reads what was wrong and may try again.
            Err(why) if found.is_none() => return self.finish(request.call, 0, Outcome::failed(why)).await,
            Err(_) => return Ok(()),
        };
        match resume(found.as_ref().map(|found| &found.value), tool.tool.spec().effect) {
            Resume::Finished => Ok(()),
            Resume::GiveUnknown => {
                let text = "the runner stopped while this was running".to_owned();
                self.finish(request.call, place, Outcome { kind: OutcomeKind::Unknown, text, elapsed_ms: 0 }).await
            }
            Resume::Run | Resume::RunAgain => {
                let started = ToolRecord::Started { runner: self.replica.clone() };
                match self.records.write(request.call, place, &started).await? {
                    // Another runner has it, or the turn was stopped.
                    Claim::Lost => Ok(()),
                    Claim::Won { sequence } => {
                        crash_point(CrashPoint::ToolStarted);
                        let outcome = self.execute(request, tool).await;
                        crash_point(CrashPoint::ToolRan);
                        self.finish(request.call, sequence, outcome).await
                    }
                }
            }
        }
    }

    async fn finish(&self, call: CallId, place: u64, outcome: Outcome) -> Result<(), PublishError> {
        self.records.write(call, place, &ToolRecord::Done(outcome)).await.map(|_| ())
    }

    async fn execute(&self, request: &ToolRequest, tool: Registered<'_>) -> Outcome {
        let begun = Instant::now();
        let limit = Duration::from_millis(tool.tool.spec().timeout_ms);
        let ended = tokio::time::timeout(limit, tool.tool.run(request, tool.arguments)).await;
        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (kind, text) = match ended {
            Ok(Ok(text)) => (OutcomeKind::Succeeded, cut_result(&text, self.result_chars)),
            // Errors are never cut: their end often says what is wrong.
            Ok(Err(why)) => (OutcomeKind::Failed, why),
            Err(_) if tool.tool.spec().effect.may_run_again() => {
                (OutcomeKind::Failed, format!("it took longer than {limit:?}"))
            }
            Err(_) => (OutcomeKind::Unknown, format!("it took longer than {limit:?}")),
        };
        info!(?kind, elapsed_ms, "ran a tool");
        Outcome { kind, text, elapsed_ms }
    }
}
