//! From the router to itself: what to publish after a time.

use domain::message::Inbound;

use crate::fields::required;
use crate::{InvalidMessage, v1, wire};

wire!(Timer as v1::SetTimer);

/// What the router has published to itself after a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    pub event: Inbound,
    pub after_ms: u64,
}

impl From<&Timer> for v1::SetTimer {
    fn from(value: &Timer) -> Self {
        Self { event: Some((&value.event).into()), after_ms: value.after_ms }
    }
}

impl TryFrom<v1::SetTimer> for Timer {
    type Error = InvalidMessage;
    fn try_from(raw: v1::SetTimer) -> Result<Self, InvalidMessage> {
        Ok(Self { event: required(raw.event, "event")?.try_into()?, after_ms: raw.after_ms })
    }
}
