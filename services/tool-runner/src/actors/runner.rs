//! Runs a call between its two records.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bus::{Claim, Delivery, Handler, PublishError, Records, Verdict, Versioned};
use domain::guard::{cut_middle, cut_result};
use domain::ids::CallId;
use domain::tool::{Outcome, OutcomeKind, Resume, ToolClass, ToolRecord, ToolRequest, resume};
use serde_json::Value;
use service_kit::breaker;
use service_kit::clock::now_ms;
use service_kit::crash::{CrashPoint, crash_point};
use tracing::{info, instrument, warn};

use super::breakers::{Breakers, FAILURES, REST};
use super::stops::Stops;
use crate::registry::{Ended, Registry, Tool};

const RETRY: Duration = Duration::from_millis(500);
/// Longest error that is stored, in characters.
const ERROR_CHARS: usize = 100_000;

pub(crate) struct Runner {
    pub(crate) records: Records<ToolRecord>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) replica: String,
    pub(crate) result_chars: usize,
    pub(crate) stops: Stops,
    pub(crate) breakers: Breakers,
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
        let found_tool = self.registry.find(&request.principal.user, &request.name, &request.arguments).await;
        let (tool, arguments) = match found_tool {
            Ok(tool) => tool,
            // Nothing began: the model reads what was wrong and may try again.
            Err(why) if found.is_none() => return self.finish(request.call, 0, Outcome::failed(why)).await,
            // It began, and what it was is not known any more, so nor is what it did.
            Err(_) => return self.finish_unknown(request.call, found.as_ref()).await,
        };
        match resume(found.as_ref().map(|found| &found.value), tool.spec().effect) {
            Resume::Finished => Ok(()),
            Resume::GiveUnknown => self.finish_unknown(request.call, found.as_ref()).await,
            Resume::Run | Resume::RunAgain => {
                // Heard from before anybody can see that it began.
                let stopped = self.stops.of(request.call.turn);
                let started = ToolRecord::Started { runner: self.replica.clone() };
                match self.records.write(request.call, place, &started).await? {
                    // Another runner has it, or the turn was stopped.
                    Claim::Lost => Ok(()),
                    Claim::Won { sequence } => {
                        crash_point(CrashPoint::ToolStarted);
                        let outcome = self.execute(request, tool.as_ref(), arguments, stopped).await;
                        crash_point(CrashPoint::ToolRan);
                        self.finish(request.call, sequence, outcome).await
                    }
                }
            }
        }
    }

    /// Ends a call that began in a runner that stopped, if it has no result.
    async fn finish_unknown(&self, call: CallId, found: Option<&Versioned<ToolRecord>>) -> Result<(), PublishError> {
        match found {
            Some(Versioned { value: ToolRecord::Started { .. }, sequence }) => {
                let text = "the runner stopped while this was running".to_owned();
                self.finish(call, *sequence, Outcome { kind: OutcomeKind::Unknown, text, elapsed_ms: 0 }).await
            }
            _ => Ok(()),
        }
    }

    async fn finish(&self, call: CallId, place: u64, outcome: Outcome) -> Result<(), PublishError> {
        self.records.write(call, place, &ToolRecord::Done(outcome)).await.map(|_| ())
    }

    async fn execute(
        &self,
        request: &ToolRequest,
        tool: &dyn Tool,
        arguments: Value,
        stopped: impl Future<Output = ()>,
    ) -> Outcome {
        let begun = Instant::now();
        let limit = Duration::from_millis(tool.spec().timeout_ms);
        let breaker = self.breakers.of(&request.principal.user, tool.spec());
        let claim = breaker.claim(now_ms());
        if claim == breaker::Claim::Refused {
            return Outcome::failed(format!(
                "not called: it did not answer {FAILURES} times in a row, and is left alone for up to {} minutes",
                REST.as_secs() / 60
            ));
        }
        let called = async {
            tokio::select! {
                // What is dropped here ends, with every process of it.
                () = stopped => None,
                ended = tool.call(request, arguments) => Some(ended),
            }
        };
        let ended = tokio::time::timeout(limit, called).await;
        match &ended {
            Ok(None) => breaker.give_back(claim, now_ms()),
            // A server that is not there rests by itself.
            Ok(Some(Ended::Unreachable(_))) if tool.spec().class == ToolClass::Mcp => {
                breaker.give_back(claim, now_ms());
            }
            Ok(Some(Ended::Gave(_) | Ended::Failed(_))) => breaker.note(true, now_ms()),
            Ok(Some(Ended::Unreachable(_) | Ended::MayHaveHappened(_))) | Err(_) => breaker.note(false, now_ms()),
        }
        let stop = || Ended::MayHaveHappened("the turn was stopped".to_owned());
        let ended = ended.map(|ended| ended.unwrap_or_else(stop));
        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (kind, text) = match ended {
            Ok(Ended::Gave(text)) => (OutcomeKind::Succeeded, cut_result(&text, self.result_chars)),
            // Errors are not cut, for their end often says what is wrong; but for the
            // ones that could not be stored.
            Ok(Ended::Failed(why) | Ended::Unreachable(why)) => (OutcomeKind::Failed, cut_middle(&why, ERROR_CHARS)),
            Ok(Ended::MayHaveHappened(why)) if tool.spec().effect.may_run_again() => (OutcomeKind::Failed, why),
            Ok(Ended::MayHaveHappened(why)) => (OutcomeKind::Unknown, why),
            Err(_) if tool.spec().effect.may_run_again() => {
                (OutcomeKind::Failed, format!("it took longer than {limit:?}"))
            }
            Err(_) => (OutcomeKind::Unknown, format!("it took longer than {limit:?}")),
        };
        info!(?kind, elapsed_ms, "ran a tool");
        Outcome { kind, text, elapsed_ms }
    }
}
