//! A tool of a server, called as any other.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bus::Bus;
use domain::ids::TurnId;
use domain::tool::{ToolRequest, ToolSpec};
use proto::live::ToolProgress;
use serde_json::{Map, Value};
use service_kit::clock::now_ms;
use service_kit::task::{self, TaskKind};
use tokio::sync::watch;
use tracing::warn;

use super::Servers;
use super::limits::CallLimits;
use super::link::{BUSY, Link};
use super::sampling::CallSampler;
use crate::ports::{
    Called, Calling, Calls, Given, Installations, Installed, Key, McpError, RUNNING, RateLimits, Sampler,
};
use crate::registry::{ANSWERS, Ended, Tool};

pub(super) struct McpTool {
    pub(super) spec: ToolSpec,
    pub(super) installed: Installed,
    /// What the server calls it.
    pub(super) name: String,
    pub(super) servers: Servers,
    pub(super) installations: Arc<dyn Installations>,
    pub(super) calls: Arc<dyn Calls>,
    pub(super) limit: Duration,
    pub(super) limits: CallLimits,
    pub(super) rate_limits: Arc<dyn RateLimits>,
    pub(super) bus: Bus,
}

#[async_trait]
impl Tool for McpTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, request: &ToolRequest, arguments: Value) -> Ended {
        let Value::Object(arguments) = arguments else {
            return Ended::Unreachable("the arguments must be one JSON object".to_owned());
        };
        let link = match self.servers.connect(&self.installed).await {
            Ok(link) => link,
            Err(why) => {
                return Ended::Unreachable(format!("the server `{}` is not there: {why}", self.installed.key.name));
            }
        };
        // It may have started just now, and offer something else than was agreed to.
        let may_sample = match self.still_is(&self.installed.key).await {
            Ok(Some(may_sample)) => may_sample,
            Ok(None) => {
                return Ended::Unreachable(format!("`{}` has changed since it was approved; {AGREE}", self.spec.name));
            }
            Err(why) => return Ended::Unreachable(why),
        };
        let sampler = may_sample.then(|| Arc::new(CallSampler::new(&self.bus, request)) as Arc<dyn Sampler>);
        let (begun, started_at_ms) = (Instant::now(), now_ms());
        let called = Called {
            key: self.installed.key.clone(),
            user: request.principal.user.clone(),
            call: request.call.to_string(),
            tool: self.name.clone(),
            started_at_ms,
            duration_ms: 0,
            error: Some(RUNNING),
        };
        if let Err(why) = self.limits.begin(self.rate_limits.as_ref(), self.calls.as_ref(), &called).await {
            return Ended::Unreachable(why);
        }
        let called = Called { error: Some(CUT_OFF), ..called };
        let mut noting = Noting { calls: Arc::clone(&self.calls), called, begun };
        let (mut ended, mut error) = self.ask(&link, request.call.turn, arguments.clone(), sampler.clone()).await;
        if matches!(error, Some(UNASKED | UNSENT)) {
            // What it is authorised with was too old, and is made anew with the way to it; or that had
            // ended a moment before.
            if let Ok(link) = self.servers.connect(&self.installed).await {
                (ended, error) = self.ask(&link, request.call.turn, arguments, sampler).await;
            }
        }
        noting.called.error = error;
        ended
    }
}

/// Notes a call when it is over, however it ended.
struct Noting {
    calls: Arc<dyn Calls>,
    called: Called,
    begun: Instant,
}

impl Drop for Noting {
    fn drop(&mut self) {
        let duration_ms = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        let (calls, called) = (Arc::clone(&self.calls), Called { duration_ms, ..self.called.clone() });
        // Nobody waits for the books: the result goes on its way.
        task::spawn(TaskKind::Work, "note-mcp-call", async move {
            if let Err(err) = calls.note_call(&called).await {
                warn!(error = %err, "failed to note a call");
            }
        });
    }
}

/// What a call may take beside the server's own time: it may have to be started, and others
/// may come first.
pub(super) const BEFORE_CALL: Duration = Duration::from_secs(75 + BUSY.as_secs());

/// What is to be done about a tool that changed.
const AGREE: &str = "somebody must look at it and agree: `clara mcp tools`, `clara mcp approve`";

/// What is noted of a call that nobody was authorised to make, and so was not made.
const UNASKED: &str = "unauthorized";

/// What is noted of a call whose server had ended before it heard of it.
const UNSENT: &str = "unsent";

/// What is noted of a call that a stop, the end of its time or of this runner cut off.
const CUT_OFF: &str = "cut off";

/// How often a person is told how far a call is, at most.
const TELL: Duration = Duration::from_millis(300);
/// Longest word of how far a call is, in characters.
const PROGRESS_CHARS: usize = 200;

/// What a call gave, with what its server wanted to know: to be asked in the conversation.
fn with_questions(given: Given) -> String {
    let Given { mut text, questions, .. } = given;
    for question in &questions {
        text.push_str(&format!("\n\n[The server wanted to ask the person: {question}]"));
    }
    if !questions.is_empty() {
        text.push_str(&format!(
            "\n[Ask the person; then call this again with their answers as the object `{ANSWERS}` beside the arguments.]"
        ));
    }
    text
}

impl McpTool {
    /// Tells whoever watches the turn how far the server says that it is.
    async fn tell_progress(&self, turn: TurnId, mut said: watch::Receiver<String>) -> Infallible {
        while said.changed().await.is_ok() {
            let text = said.borrow_and_update().clone();
            // One line, whatever it says: it stands where Clara says what she does.
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let text = format!("{}: {words}", self.spec.name).chars().take(PROGRESS_CHARS).collect();
            self.bus.show_tool_progress(turn, &ToolProgress { text }).await;
            tokio::time::sleep(TELL).await;
        }
        std::future::pending().await
    }

    /// Whether the server offers it as it was agreed to; then, whether it may have words of the
    /// model.
    async fn still_is(&self, key: &Key) -> Result<Option<bool>, String> {
        let found = self.installations.find(key).await.map_err(|err| err.to_string())?;
        let Some(found) = found.filter(|found| found.is_enabled) else { return Ok(None) };
        let is_as_agreed = found.tools.iter().any(|tool| tool.name == self.name && found.is_approved(tool));
        Ok(is_as_agreed.then_some(found.may_sample))
    }

    async fn ask(
        &self,
        link: &Link,
        turn: TurnId,
        mut arguments: Map<String, Value>,
        sampler: Option<Arc<dyn Sampler>>,
    ) -> (Ended, Option<&'static str>) {
        let answers = match arguments.remove(ANSWERS) {
            Some(Value::Object(answers)) => Some(answers),
            _ => None,
        };
        let _place = match link.place().await {
            Ok(place) => place,
            Err(why) => return (Ended::Unreachable(why), Some("busy")),
        };
        let said = watch::Sender::new(String::new());
        let telling = self.tell_progress(turn, said.subscribe());
        let with = Calling { answers, limit: self.limit, progress: said, sampler };
        let called = link.connection.call(&self.name, arguments, with);
        let called = tokio::select! {
            called = called => called,
            never = telling => match never {},
        };
        match called {
            Ok(given) if given.is_error => (Ended::Failed(with_questions(given)), Some("tool")),
            Ok(given) => (Ended::Gave(with_questions(given)), None),
            Err(err @ McpError::Unauthorized) => (Ended::Failed(err.to_string()), Some(UNASKED)),
            Err(err @ McpError::Unsent) => (Ended::Unreachable(err.to_string()), Some(UNSENT)),
            Err(err @ (McpError::Refused(_) | McpError::Start(_))) => (Ended::Failed(err.to_string()), Some("refused")),
            Err(err @ McpError::Gone(_)) => (Ended::MayHaveHappened(err.to_string()), Some("gone")),
            Err(err @ McpError::TimedOut(_)) => (Ended::MayHaveHappened(err.to_string()), Some("timeout")),
        }
    }
}
