//! What a running turn shows: deltas, numbered, and the text so far.

use bus::Bus;
use domain::ids::{ConversationId, TurnId};
use domain::message::Route;
use proto::live::{Activity, DeltaKind, Snapshot, TurnDelta};
use tokio::sync::watch;

pub(crate) struct Show {
    bus: Bus,
    platform: String,
    conversation: ConversationId,
    turn: TurnId,
    /// What a late viewer is told; also counts the deltas.
    snapshot: watch::Sender<Snapshot>,
}

impl Show {
    pub(crate) fn new(
        bus: Bus,
        route: &Route,
        conversation: ConversationId,
        turn: TurnId,
        snapshot: watch::Sender<Snapshot>,
    ) -> Self {
        Self { bus, platform: route.platform.clone(), conversation, turn, snapshot }
    }

    /// Begins a step: its text starts empty.
    pub(crate) fn begin_step(&self, epoch: u32, step: u32) {
        self.snapshot.send_modify(|snapshot| {
            snapshot.epoch = epoch;
            snapshot.step = step;
            snapshot.text.clear();
        });
    }

    pub(crate) async fn text(&self, tail: String) {
        let mut offset = 0;
        let mut step = 0;
        self.snapshot.send_modify(|snapshot| {
            offset = snapshot.text.len() as u64;
            step = snapshot.step;
            snapshot.text.push_str(&tail);
        });
        self.send(DeltaKind::Text { step, offset, tail }).await;
    }

    pub(crate) async fn status(&self, activity: Activity) {
        if matches!(activity, Activity::Retrying { .. }) {
            self.snapshot.send_modify(|snapshot| snapshot.text.clear());
        }
        self.send(DeltaKind::Status(activity)).await;
    }

    async fn send(&self, kind: DeltaKind) {
        let mut delta = TurnDelta { turn: self.turn, epoch: 0, n: 0, kind };
        self.snapshot.send_modify(|snapshot| {
            (delta.epoch, delta.n) = (snapshot.epoch, snapshot.n);
            snapshot.n += 1;
        });
        self.bus.show_delta(&self.platform, &self.conversation, &delta).await;
    }
}
