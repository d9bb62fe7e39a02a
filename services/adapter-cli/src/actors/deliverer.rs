//! Delivers replies: shown once, recorded as `SENT`, and then the router hears
//! of it.

use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, Claim, Delivery, Handler, PublishError, Records, Subject, Verdict};
use domain::approval::Question;
use domain::delivery::{DeliveryRecord, Resume, resume};
use domain::message::{Event, Inbound, TurnFinished};
use domain::turn::{Reply, ReplyKind};
use service_kit::clock::now_ms;
use service_kit::crash::{CrashPoint, crash_point};
use tracing::{instrument, warn};

const RETRY: Duration = Duration::from_millis(500);
/// A terminal takes a reply of any length: there is one segment.
const SEGMENT: u32 = 0;

pub(crate) struct Deliverer {
    pub(crate) bus: Bus,
    pub(crate) records: Records<DeliveryRecord>,
}

#[async_trait]
impl Handler<Reply> for Deliverer {
    #[instrument(name = "deliver", skip_all, fields(turn = %reply.turn, kind = ?reply.kind))]
    async fn handle(&self, reply: Reply, _: &Delivery) -> Verdict {
        match self.deliver(&reply).await {
            Ok(()) => Verdict::Done,
            Err(err) => {
                warn!(error = %err, "failed to deliver a reply; trying again");
                Verdict::RetryAfter(RETRY)
            }
        }
    }
}

impl Deliverer {
    async fn deliver(&self, reply: &Reply) -> Result<(), PublishError> {
        if reply.kind == ReplyKind::Question {
            // Before anybody can see it: so that the router tells an answer from
            // what was said before.
            let question = reply.asks.unwrap_or(Question::Outcome);
            let (text, at_ms) = (reply.text.clone(), now_ms());
            self.tell(reply, Event::QuestionAsked { turn: reply.turn, question, text, at_ms }).await?;
        }
        // The terminals' stream takes each reply once, whoever sends it and how
        // often: it needs no record before it, and keeps its own.
        crash_point(CrashPoint::Sending);
        let shown = self.bus.show_reply(reply).await?;
        crash_point(CrashPoint::Shown);
        let sent = DeliveryRecord::Sent { platform_message: shown.sequence.to_string() };
        if self.records.write(reply.turn, SEGMENT, 0, &sent).await? == Claim::Lost {
            let found = self.records.read(reply.turn, SEGMENT).await?;
            match (resume(found.as_ref().map(|found| &found.value)), found) {
                (Resume::Delivered, _) => {}
                (Resume::Reconcile, Some(found)) => {
                    self.records.write(reply.turn, SEGMENT, found.sequence, &sent).await?;
                }
                // It was there and has gone: look again when this comes back.
                _ => return Err(PublishError::Conflict { subject: "delivery".into() }),
            }
        }
        crash_point(CrashPoint::Sent);
        self.finish(reply).await
    }

    /// Tells the router, which then starts what waits.
    async fn finish(&self, reply: &Reply) -> Result<(), PublishError> {
        if !reply.ends_turn() {
            return Ok(());
        }
        let finished = TurnFinished { turn: reply.turn, answers: reply.answers.clone(), tier: reply.tier };
        self.tell(reply, Event::TurnFinished(finished)).await?;
        crash_point(CrashPoint::FinishedTold);
        Ok(())
    }

    async fn tell(&self, reply: &Reply, event: Event) -> Result<(), PublishError> {
        let (conversation, route) = (reply.conversation.clone(), Some(reply.route.clone()));
        let inbound = Inbound { conversation, route, event };
        self.bus.store(Subject::Inbound(&inbound.conversation), &inbound.publish_id(), &inbound).await.map(|_| ())
    }
}
