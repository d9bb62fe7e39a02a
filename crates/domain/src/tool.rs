//! What a tool promises, what a call carries, what comes back.

use crate::approval::ApprovalMode;
use crate::ids::{CallId, ConversationId, TurnId};
use crate::message::{Principal, Route};

/// What running a tool twice would mean. Decides what a redelivery may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Changes nothing: may run again.
    ReadOnly,
    /// Running it again under the same call id changes nothing more.
    Idempotent,
    /// May have happened: never run again unasked.
    Once,
}

impl Effect {
    pub fn may_run_again(self) -> bool {
        matches!(self, Effect::ReadOnly | Effect::Idempotent)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Risk {
    Safe,
    Moderate,
    Dangerous,
}

/// What a call does, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Intent {
    Read,
    Write,
    /// Runs code.
    Execute,
    /// Reaches others, who may hear what it is given.
    Network,
}

/// Whether calls of a tool wait for a person's word. The policy decides, for each turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Consent {
    Given,
    Asked,
    /// There are none any more: what it gave is read, and it is not offered.
    Barred,
}

/// Which runner executes a tool: one work queue each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ToolClass {
    Builtin,
    /// A tool of an MCP server.
    Mcp,
    /// Code in the sandbox.
    Sandbox,
}

impl ToolClass {
    pub fn as_str(self) -> &'static str {
        match self {
            ToolClass::Builtin => "builtin",
            ToolClass::Mcp => "mcp",
            ToolClass::Sandbox => "sandbox",
        }
    }
}

/// A tool as the model and the policy see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolSpec {
    pub name: String,
    pub description: String,
    /// JSON Schema of the arguments, as JSON text.
    pub schema: String,
    pub class: ToolClass,
    pub effect: Effect,
    pub risk: Risk,
    pub intent: Intent,
    /// What policies call tools of its kind, such as `memory`.
    pub group: String,
    /// Whether what it gives may be anybody's words.
    pub is_untrusted: bool,
    pub consent: Consent,
    /// Whether it touches nothing that is the asking person's own, so that a turn
    /// that several people share may use it.
    pub for_anyone: bool,
    pub timeout_ms: u64,
}

impl ToolSpec {
    /// Whether a turn that has read somebody else's words may not use it unasked: it
    /// changes something, or reaches others.
    pub fn is_consequential(&self) -> bool {
        self.intent != Intent::Read
    }
}

/// Which tools are asked for: a person's, as far as a sub-agent in a conversation may use them,
/// if one asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListTools {
    pub principal: Principal,
    pub conversation: Option<ConversationId>,
}

/// Where code runs, as the tool runner found it at its start, and what it finds of the other ways now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SandboxReport {
    /// The way that holds; empty if none does: then no code is run at all.
    pub chosen: String,
    /// Why others do not hold, or are not used, a line each.
    pub others: Vec<String>,
}

/// One call on its way to a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolRequest {
    pub call: CallId,
    pub conversation: ConversationId,
    pub principal: Principal,
    /// Where the turn takes place: a group never hears what is private.
    pub route: Route,
    /// Which calls are asked for there.
    pub approval: ApprovalMode,
    pub name: String,
    pub arguments: String,
    /// The turn of the same conversation that the asking one goes on from, if it does.
    pub after: Option<TurnId>,
}

impl ToolRequest {
    /// The conversation whose budget it uses.
    pub fn paid_by(&self) -> &ConversationId {
        self.route.paid_by(&self.conversation)
    }
}

/// How a call ended, in the order of how much is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeKind {
    Succeeded,
    /// The tool, or the check of its arguments, said no.
    Failed,
    /// Interrupted after it began: it may or may not have happened.
    Unknown,
    /// Never began, because the turn was stopped or the person said no.
    Skipped,
    /// Waits for a person's word; never began.
    Unapproved,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub kind: OutcomeKind,
    /// What the model is told.
    pub text: String,
    pub elapsed_ms: u64,
}

impl Outcome {
    pub fn failed(text: impl Into<String>) -> Self {
        Self { kind: OutcomeKind::Failed, text: text.into(), elapsed_ms: 0 }
    }
}

/// The record of a call: `STARTED`, then `DONE`, by compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolRecord {
    Started { runner: String },
    Done(Outcome),
}

/// What a runner that finds `record` for a call must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// Nobody has begun: record `STARTED`, then run.
    Run,
    /// Somebody began and died; the tool allows another run.
    RunAgain,
    /// Somebody began and died; say that the outcome is unknown.
    GiveUnknown,
    /// The result is there.
    Finished,
}

/// Decides what a (re)delivered call may do. Never runs twice what may have
/// happened.
pub fn resume(record: Option<&ToolRecord>, effect: Effect) -> Resume {
    match record {
        None => Resume::Run,
        Some(ToolRecord::Done(_)) => Resume::Finished,
        Some(ToolRecord::Started { .. }) if effect.may_run_again() => Resume::RunAgain,
        Some(ToolRecord::Started { .. }) => Resume::GiveUnknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_happened_is_never_run_again() {
        let started = ToolRecord::Started { runner: "a".into() };
        let done = ToolRecord::Done(Outcome::failed("no"));
        assert_eq!(resume(None, Effect::Once), Resume::Run);
        assert_eq!(resume(Some(&started), Effect::Once), Resume::GiveUnknown);
        assert_eq!(resume(Some(&started), Effect::ReadOnly), Resume::RunAgain);
        assert_eq!(resume(Some(&started), Effect::Idempotent), Resume::RunAgain);
        for effect in [Effect::Once, Effect::ReadOnly, Effect::Idempotent] {
            assert_eq!(resume(Some(&done), effect), Resume::Finished);
        }
    }
}
