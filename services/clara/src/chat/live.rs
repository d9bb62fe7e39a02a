//! From deltas to what is shown: in order, without gaps, without the past.

use domain::ids::TurnId;
use domain::message::without_controls;
use proto::live::{Activity, DeltaKind, Snapshot, TurnDelta};

/// What a viewer does with a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Show {
    Nothing,
    /// More of the text.
    Text(String),
    /// The text so far is void.
    Restart,
    Status(Activity),
    /// Something was missed: ask for a snapshot.
    Gap,
}

/// What she is doing, in words.
pub(crate) fn in_words(activity: &Activity) -> String {
    // One line: it stands where others will.
    let line = |text: &str| without_controls(text).split_whitespace().collect::<Vec<_>>().join(" ");
    match activity {
        Activity::Thinking | Activity::ToolFinished { .. } => "thinking".to_owned(),
        Activity::ToolStarted { tool } => format!("using {}", line(tool)),
        Activity::Retrying { detail } => line(detail),
        Activity::Resuming => "resuming".to_owned(),
        Activity::ToolProgressed { text } => line(text),
    }
}

/// What a viewer knows of a running turn.
#[derive(Debug)]
pub(crate) struct Viewer {
    turn: TurnId,
    epoch: u32,
    next: u32,
    step: u32,
    text: String,
}

impl Viewer {
    pub(crate) fn new(turn: TurnId) -> Self {
        Self { turn, epoch: 0, next: 0, step: 0, text: String::new() }
    }

    /// The text that was shown of the running step.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn take(&mut self, delta: TurnDelta) -> Show {
        if delta.turn != self.turn || delta.epoch < self.epoch || (delta.epoch == self.epoch && delta.n < self.next) {
            return Show::Nothing;
        }
        let restarted = delta.epoch > self.epoch && !self.text.is_empty();
        if delta.epoch > self.epoch {
            self.epoch = delta.epoch;
            self.text.clear();
        }
        self.next = delta.n + 1;
        match delta.kind {
            DeltaKind::Status(activity) => {
                if matches!(activity, Activity::Retrying { .. }) && !self.text.is_empty() {
                    self.text.clear();
                    return Show::Restart;
                }
                if restarted { Show::Restart } else { Show::Status(activity) }
            }
            DeltaKind::Text { step, offset, tail } => {
                if step != self.step {
                    self.step = step;
                    self.text.clear();
                }
                if offset != self.text.len() as u64 {
                    return Show::Gap;
                }
                self.text.push_str(&tail);
                Show::Text(tail)
            }
        }
    }

    /// Takes a snapshot in after a gap; gives the text that was missed.
    pub(crate) fn repair(&mut self, snapshot: &Snapshot) -> Show {
        if snapshot.epoch < self.epoch || (snapshot.epoch == self.epoch && snapshot.n < self.next) {
            return Show::Nothing;
        }
        let missed =
            snapshot.text.strip_prefix(self.text.as_str()).filter(|_| snapshot.step == self.step).map(str::to_owned);
        (self.epoch, self.next, self.step) = (snapshot.epoch, snapshot.n, snapshot.step);
        self.text.clone_from(&snapshot.text);
        match missed {
            Some(missed) => Show::Text(missed),
            None => Show::Restart,
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::{ConversationId, MessageId, Place};

    use super::*;

    fn turn() -> TurnId {
        let place = Place { platform: "cli".into(), tenant: "t".into(), channel: "c".into(), thread: String::new() };
        TurnId::derive(&ConversationId::derive(&place), &MessageId::parse("cli:1").unwrap())
    }

    fn text(epoch: u32, n: u32, offset: u64, tail: &str) -> TurnDelta {
        TurnDelta { turn: turn(), epoch, n, kind: DeltaKind::Text { step: 0, offset, tail: tail.into() } }
    }

    #[test]
    fn text_is_assembled_once_and_in_order() {
        let mut viewer = Viewer::new(turn());
        assert_eq!(viewer.take(text(1, 0, 0, "Hel")), Show::Text("Hel".into()));
        assert_eq!(viewer.take(text(1, 0, 0, "Hel")), Show::Nothing);
        assert_eq!(viewer.take(text(1, 1, 3, "lo")), Show::Text("lo".into()));
        assert_eq!(viewer.text(), "Hello");
    }

    #[test]
    fn gap_is_repaired_by_a_snapshot() {
        let mut viewer = Viewer::new(turn());
        viewer.take(text(1, 0, 0, "Hel"));
        assert_eq!(viewer.take(text(1, 3, 9, "rld")), Show::Gap);
        let snapshot = Snapshot { epoch: 1, n: 5, step: 0, text: "Hello world!".into() };
        assert_eq!(viewer.repair(&snapshot), Show::Text("lo world!".into()));
        assert_eq!(viewer.take(text(1, 4, 11, "!")), Show::Nothing);
        assert_eq!(viewer.take(text(1, 5, 12, "?")), Show::Text("?".into()));
    }

    #[test]
    fn take_over_starts_the_text_anew() {
        let mut viewer = Viewer::new(turn());
        viewer.take(text(1, 0, 0, "half a"));
        let resuming = TurnDelta { turn: turn(), epoch: 2, n: 0, kind: DeltaKind::Status(Activity::Resuming) };
        assert_eq!(viewer.take(resuming), Show::Restart);
        assert_eq!(viewer.take(text(1, 1, 6, "zombie")), Show::Nothing);
        assert_eq!(viewer.take(text(2, 1, 0, "whole")), Show::Text("whole".into()));
    }
}
