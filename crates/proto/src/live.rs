//! What a running turn shows, over core NATS: may be lost, is never the final.

use domain::ids::{MessageId, TurnId};

use crate::fields::{self, required};
use crate::{InvalidMessage, v1, wire};

/// One piece of a running turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnDelta {
    pub turn: TurnId,
    pub epoch: u32,
    /// Counts every delta of the epoch, from 0.
    pub n: u32,
    pub kind: DeltaKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeltaKind {
    /// `offset`: bytes of the step's text before `tail`.
    Text {
        step: u32,
        offset: u64,
        tail: String,
    },
    Status(Activity),
}

/// What Clara is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activity {
    Thinking,
    ToolStarted {
        tool: String,
    },
    ToolFinished {
        tool: String,
    },
    /// The model is asked again; `detail` says why.
    Retrying {
        detail: String,
    },
    Resuming,
    /// The tool, and how far it says that it is.
    ToolProgressed {
        text: String,
    },
}

/// Tells the running replica that the journal holds a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopTurn {
    pub stop: MessageId,
}

/// How far a running call says that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolProgress {
    pub text: String,
}

/// Asks the running replica for the text so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadSnapshot;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub epoch: u32,
    pub n: u32,
    pub step: u32,
    pub text: String,
}

wire!(TurnDelta as v1::TurnDelta);
wire!(StopTurn as v1::StopTurn);
wire!(ToolProgress as v1::ToolProgress);
wire!(ReadSnapshot as v1::ReadSnapshot);
wire!(Snapshot as v1::Snapshot);

impl From<&TurnDelta> for v1::TurnDelta {
    fn from(value: &TurnDelta) -> Self {
        use v1::turn_delta::Kind;
        let kind = match &value.kind {
            DeltaKind::Text { step, offset, tail } => {
                Kind::Text(v1::TextDelta { step: *step, offset: *offset, tail: tail.clone() })
            }
            DeltaKind::Status(activity) => {
                let (activity, detail) = match activity {
                    Activity::Thinking => (v1::Activity::Thinking, ""),
                    Activity::ToolStarted { tool } => (v1::Activity::ToolStarted, tool.as_str()),
                    Activity::ToolFinished { tool } => (v1::Activity::ToolFinished, tool.as_str()),
                    Activity::Retrying { detail } => (v1::Activity::Retrying, detail.as_str()),
                    Activity::Resuming => (v1::Activity::Resuming, ""),
                    Activity::ToolProgressed { text } => (v1::Activity::ToolProgressed, text.as_str()),
                };
                Kind::Status(v1::StatusChanged { activity: activity.into(), detail: detail.to_owned() })
            }
        };
        Self { turn: value.turn.to_string(), epoch: value.epoch, n: value.n, kind: Some(kind) }
    }
}

impl TryFrom<v1::TurnDelta> for TurnDelta {
    type Error = InvalidMessage;
    fn try_from(raw: v1::TurnDelta) -> Result<Self, InvalidMessage> {
        use v1::turn_delta::Kind;
        let kind = match required(raw.kind, "delta.kind")? {
            Kind::Text(text) => DeltaKind::Text { step: text.step, offset: text.offset, tail: text.tail },
            Kind::Status(status) => DeltaKind::Status(match status.activity() {
                v1::Activity::Thinking => Activity::Thinking,
                v1::Activity::ToolStarted => Activity::ToolStarted { tool: status.detail },
                v1::Activity::ToolFinished => Activity::ToolFinished { tool: status.detail },
                v1::Activity::Retrying => Activity::Retrying { detail: status.detail },
                v1::Activity::Resuming => Activity::Resuming,
                v1::Activity::ToolProgressed => Activity::ToolProgressed { text: status.detail },
                v1::Activity::Unspecified => return Err(InvalidMessage::Missing("activity")),
            }),
        };
        Ok(Self { turn: fields::turn(&raw.turn)?, epoch: raw.epoch, n: raw.n, kind })
    }
}

impl From<&StopTurn> for v1::StopTurn {
    fn from(value: &StopTurn) -> Self {
        Self { stop: value.stop.to_string() }
    }
}

impl TryFrom<v1::StopTurn> for StopTurn {
    type Error = InvalidMessage;
    fn try_from(raw: v1::StopTurn) -> Result<Self, InvalidMessage> {
        Ok(Self { stop: fields::message(&raw.stop)? })
    }
}

impl From<&ToolProgress> for v1::ToolProgress {
    fn from(value: &ToolProgress) -> Self {
        Self { text: value.text.clone() }
    }
}

impl TryFrom<v1::ToolProgress> for ToolProgress {
    type Error = InvalidMessage;
    fn try_from(raw: v1::ToolProgress) -> Result<Self, InvalidMessage> {
        Ok(Self { text: raw.text })
    }
}

impl From<&ReadSnapshot> for v1::ReadSnapshot {
    fn from(ReadSnapshot: &ReadSnapshot) -> Self {
        Self {}
    }
}

impl TryFrom<v1::ReadSnapshot> for ReadSnapshot {
    type Error = InvalidMessage;
    fn try_from(v1::ReadSnapshot {}: v1::ReadSnapshot) -> Result<Self, InvalidMessage> {
        Ok(Self)
    }
}

impl From<&Snapshot> for v1::Snapshot {
    fn from(value: &Snapshot) -> Self {
        Self { epoch: value.epoch, n: value.n, step: value.step, text: value.text.clone() }
    }
}

impl TryFrom<v1::Snapshot> for Snapshot {
    type Error = InvalidMessage;
    fn try_from(raw: v1::Snapshot) -> Result<Self, InvalidMessage> {
        Ok(Self { epoch: raw.epoch, n: raw.n, step: raw.step, text: raw.text })
    }
}
