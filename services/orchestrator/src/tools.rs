//! Asking for tool calls, and hearing of their results.

use std::time::Duration;

use bus::{Bus, Claim, LiveError, PublishError, Records, Subject, Subscription, Versioned};
use domain::ids::TurnId;
use domain::journal::Call;
use domain::tool::{Outcome, OutcomeKind, ToolClass, ToolRecord, ToolRequest};
use domain::turn::TurnContext;

/// What a call's record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    Nothing,
    Started,
    Done(Outcome),
}

pub(crate) struct ToolCalls {
    pub(crate) bus: Bus,
    pub(crate) records: Records<ToolRecord>,
    /// How long a call may go without a result, at least.
    pub(crate) patience: Duration,
}

/// What a runner has beside a tool's own time, to take the call and to tell the result.
const GRACE: Duration = Duration::from_secs(15);

impl ToolCalls {
    /// How long a call may go without a result: no less than its tool says that it takes.
    pub(crate) fn patience(&self, context: &TurnContext, call: &Call) -> Duration {
        let tool = context.tool(&call.name);
        let own = tool.map_or(Duration::ZERO, |tool| Duration::from_millis(tool.timeout_ms).saturating_add(GRACE));
        self.patience.max(own)
    }

    /// Hears results as they are recorded. Begun before the first request.
    pub(crate) async fn listen(&self, turn: TurnId) -> Result<Subscription<ToolRecord>, LiveError> {
        self.bus.watch_tool_results(turn).await
    }

    /// Asks for a call that the journal holds as intended.
    pub(crate) async fn ask(&self, context: &TurnContext, call: &Call) -> Result<(), PublishError> {
        let Some(principal) = context.request.principal() else { return Ok(()) };
        let origin = context.request.origin.as_ref();
        let request = ToolRequest {
            call: call.id,
            conversation: context.request.conversation.clone(),
            principal: principal.clone(),
            route: context.request.route.clone(),
            approval: context.request.asks(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            after: origin
                .filter(|origin| origin.conversation == context.request.conversation)
                .map(|origin| origin.turn),
        };
        let class = context.tool(&call.name).map_or(ToolClass::Builtin, |tool| tool.class);
        self.bus.store(Subject::Tool(class), &call.id.to_string(), &request).await.map(|_| ())
    }

    pub(crate) async fn look(&self, call: &Call) -> Result<Heard, PublishError> {
        Ok(match self.records.read(call.id).await?.map(|found| found.value) {
            None => Heard::Nothing,
            Some(ToolRecord::Started { .. }) => Heard::Started,
            Some(ToolRecord::Done(outcome)) => Heard::Done(outcome),
        })
    }

    /// Ends the wait for a call, for good: one that nobody began cannot begin later, and one that began
    /// is not begun again; it may have happened.
    pub(crate) async fn end(&self, call: &Call, why: &str) -> Result<Outcome, PublishError> {
        let outcome = |kind| Outcome { kind, text: why.to_owned(), elapsed_ms: 0 };
        let lost = if call.effect.may_run_again() { OutcomeKind::Failed } else { OutcomeKind::Unknown };
        // A runner may be first, when it begins and when it ends.
        for _ in 0..3 {
            let (place, ended) = match self.records.read(call.id).await? {
                None => (0, outcome(OutcomeKind::Skipped)),
                Some(Versioned { value: ToolRecord::Started { .. }, sequence }) => (sequence, outcome(lost)),
                Some(Versioned { value: ToolRecord::Done(done), .. }) => return Ok(done),
            };
            if let Claim::Won { .. } = self.records.write(call.id, place, &ToolRecord::Done(ended.clone())).await? {
                return Ok(ended);
            }
        }
        Ok(outcome(lost))
    }
}
