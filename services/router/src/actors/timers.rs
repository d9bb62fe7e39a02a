//! Publishes what is to be published after a time.

use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, Delivery, Handler, Subject, Verdict};
use proto::timer::Timer;
use tracing::warn;

const RETRY: Duration = Duration::from_millis(500);

pub(crate) struct Timers {
    pub(crate) bus: Bus,
}

#[async_trait]
impl Handler<Timer> for Timers {
    /// The first delivery hands the message back for its time; the second one is
    /// the end of it. No clock of ours: a replica that is killed ends it early.
    async fn handle(&self, timer: Timer, delivery: &Delivery) -> Verdict {
        if delivery.deliveries() == 1 {
            return Verdict::RetryAfter(Duration::from_millis(timer.after_ms));
        }
        let subject = Subject::Inbound(&timer.event.conversation);
        match self.bus.store(subject, &timer.event.publish_id(), &timer.event).await {
            Ok(_) => Verdict::Done,
            Err(err) => {
                warn!(error = %err, "failed to publish what a timer was set for; trying again");
                Verdict::RetryAfter(RETRY)
            }
        }
    }
}
