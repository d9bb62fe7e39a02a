//! Places where the chaos suite kills a process as a power cut would.
//!
//! They stand in the code by the numbers of the failure matrix. Without the
//! feature `chaos` they are nothing at all, and a release build refuses the
//! feature. What is survived is proved by `integration-tests`, not here.

#[cfg(all(feature = "chaos", not(debug_assertions)))]
compile_error!("crash points do not belong into a release build");

/// A place between two effects, of which one is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// F1: the bus has the message, the person does not know yet.
    InboundStored,
    /// F2: the state is stored, its outbox is not caused.
    StateStored,
    /// F3: what follows is published, the cause is not acknowledged.
    Caused,
    /// F4: a turn was received, and nothing done.
    TurnReceived,
    /// F5: the turn is claimed.
    Claimed,
    /// F6: the model has said a part.
    MidStream,
    /// F7: an answer of the model is stored.
    ModelAnswered,
    /// F8: a call is stored as intended, and not asked for.
    ToolIntended,
    /// F9: a call is recorded as started, and does not run yet.
    ToolStarted,
    /// F10: the tool ran, and its result is not recorded.
    ToolRan,
    /// F11: the result is recorded, and not in the journal.
    ToolDone,
    /// F12: the reply is stored, and not sent out.
    ReplyReady,
    /// F13: sending begins: recorded as begun, where a platform may take a reply
    /// twice (ADR 11); what is sent may be under way.
    Sending,
    /// F14: the platform has the reply, the record does not say so.
    Shown,
    /// F15: the record says so, the router does not know.
    Sent,
    /// F16: the end of the turn is told, and its cause not acknowledged.
    FinishedTold,
}

impl CrashPoint {
    pub const ALL: [Self; 16] = [
        Self::InboundStored,
        Self::StateStored,
        Self::Caused,
        Self::TurnReceived,
        Self::Claimed,
        Self::MidStream,
        Self::ModelAnswered,
        Self::ToolIntended,
        Self::ToolStarted,
        Self::ToolRan,
        Self::ToolDone,
        Self::ReplyReady,
        Self::Sending,
        Self::Shown,
        Self::Sent,
        Self::FinishedTold,
    ];

    /// Its number in the failure matrix: `F1` to `F16`.
    pub fn number(self) -> String {
        format!("F{}", self as u8 + 1)
    }
}

/// Names the point at which this process dies, and at which passage:
/// `CLARA_CRASH_AT=F5:3`.
pub const CRASH_AT: &str = "CLARA_CRASH_AT";

/// Passes a place where this process may be told to die.
#[cfg(not(feature = "chaos"))]
#[inline(always)]
pub fn crash_point(_: CrashPoint) {}

/// Passes a place where this process may be told to die: here it does, without
/// a word, on the passage that [`CRASH_AT`] names.
#[cfg(feature = "chaos")]
pub fn crash_point(point: CrashPoint) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicI64, Ordering};

    #[allow(clippy::disallowed_methods, reason = "no setting: it exists in chaos builds alone")]
    static PLANNED: LazyLock<Option<(String, AtomicI64)>> = LazyLock::new(|| {
        let text = std::env::var(CRASH_AT).ok()?;
        let (point, passage) = text.split_once(':')?;
        Some((point.to_owned(), AtomicI64::new(passage.parse().ok()?)))
    });
    if let Some((planned, left)) = &*PLANNED
        && *planned == point.number()
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        // The process is gone when this returns.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_numbered_as_in_the_failure_matrix() {
        let numbers: Vec<String> = CrashPoint::ALL.into_iter().map(CrashPoint::number).collect();
        let expected: Vec<String> = (1..=16).map(|n| format!("F{n}")).collect();
        assert_eq!(numbers, expected);
        assert_eq!(CrashPoint::ToolStarted.number(), "F9");
    }
}
