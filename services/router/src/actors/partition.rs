//! Applies the events of a partition, in order: read, step, store, cause, ack.

use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, Conversations, ConversationsError, Delivery, FromPerson, Handler, JournalStore, Subject, Verdict};
use domain::conversation::{Conversation, Effect, Limits, Position, Step, step};
use domain::ids::{ConversationId, MessageId, TurnId};
use domain::message::{Event, Inbound};
use proto::live::StopTurn;
use proto::timer::Timer;
use service_kit::clock::now_ms;
use service_kit::crash::{CrashPoint, crash_point};
use tracing::{info, instrument, warn};

use crate::recent::Recent;

/// Wait before an event is tried again. Short: it holds its partition up.
const RETRY: Duration = Duration::from_millis(100);

pub(crate) struct Partition {
    pub(crate) bus: Bus,
    pub(crate) conversations: Conversations,
    pub(crate) journals: JournalStore,
    pub(crate) limits: Limits,
    pub(crate) recent: Recent,
}

#[async_trait]
impl Handler<Inbound> for Partition {
    #[instrument(name = "route", skip_all, fields(conversation = %inbound.conversation))]
    async fn handle(&self, inbound: Inbound, delivery: &Delivery) -> Verdict {
        let at = delivery.position();
        let (state, revision) = match self.apply(&inbound, at).await {
            Ok(Some(applied)) => applied,
            // A later event was applied since: this one's outbox went out before it.
            Ok(None) => return Verdict::Done,
            Err(err @ (ConversationsError::Corrupt(..) | ConversationsError::TooLarge(..))) => {
                return Verdict::Dead(err.to_string());
            }
            Err(err) => return retry(&err),
        };
        crash_point(CrashPoint::StateStored);
        for effect in &state.outbox {
            if let Err(why) = self.cause(&inbound, at.sequence, effect).await {
                return retry(&why);
            }
        }
        crash_point(CrashPoint::Caused);
        if let Some(revision) = revision {
            self.recent.keep(inbound.conversation, state, revision).await;
        }
        Verdict::Done
    }
}

/// A record whose newest event is the one at hand, with its revision.
type Applied = (Conversation, Option<u64>);

impl Partition {
    /// Applies an event to its conversation's record, unless that was done before.
    /// `None`: a later one was applied since.
    async fn apply(&self, inbound: &Inbound, at: Position) -> Result<Option<Applied>, ConversationsError> {
        if let Some((state, revision)) = self.recent.take(&inbound.conversation).await {
            match self.apply_to(state, Some(revision), inbound, at).await {
                // Another replica has written since: what it wrote is read.
                Err(ConversationsError::Conflict(_)) => {}
                applied => return applied,
            }
        }
        let (state, revision) = self.conversations.read(&inbound.conversation).await?;
        self.apply_to(state, revision, inbound, at).await
    }

    async fn apply_to(
        &self,
        state: Conversation,
        revision: Option<u64>,
        inbound: &Inbound,
        at: Position,
    ) -> Result<Option<Applied>, ConversationsError> {
        Ok(match step(&state, at, inbound, &self.limits) {
            Step::AlreadyApplied if state.applied == at => Some((state, revision)),
            Step::AlreadyApplied => None,
            Step::Applied(next) => {
                let revision = self.conversations.write(&inbound.conversation, &next, revision).await?;
                Some((*next, Some(revision)))
            }
        })
    }

    /// Causes one effect. Safe to cause again: every id derives from the event.
    async fn cause(&self, inbound: &Inbound, sequence: u64, effect: &Effect) -> Result<(), String> {
        let conversation = &inbound.conversation;
        match effect {
            Effect::StartTurn(request) => {
                info!(turn = %request.turn, messages = request.messages.len(), "starting a turn");
                let stored = self
                    .bus
                    .store(Subject::TurnPrepare(conversation), &format!("{}:prepare", request.turn), request)
                    .await;
                stored.map(|_| ()).map_err(|err| err.to_string())
            }
            Effect::StopTurn { turn, stop } => {
                self.end(conversation, *turn, stop, FromPerson::Stop(stop.clone())).await
            }
            Effect::Interrupt { turn, by } => {
                self.end(conversation, *turn, by, FromPerson::Interrupt(by.clone())).await
            }
            Effect::Steer { turn, message } => {
                let steer = FromPerson::Steer(message.as_ref().clone());
                let appended = self.journals.append_from_person(conversation, *turn, &steer, now_ms()).await;
                appended.map_err(|err| err.to_string())
            }
            Effect::Wake { after_ms, last } => {
                let event = Event::DebounceElapsed { last: last.clone() };
                let event = Inbound { conversation: conversation.clone(), route: None, event };
                let id = format!("{}:timer", event.publish_id());
                let timer = Timer { event, after_ms: *after_ms };
                let stored = self.bus.store(Subject::Timer(conversation), &id, &timer).await;
                stored.map(|_| ()).map_err(|err| err.to_string())
            }
            Effect::Reply(reply) => {
                // Not the id of the turn's own reply, which may be what was lost.
                let id = format!("{}:reply:{sequence}", reply.turn);
                let stored = self.bus.store(Subject::Outbound(&reply.route.platform, conversation), &id, reply).await;
                stored.map(|_| ()).map_err(|err| err.to_string())
            }
        }
    }
}

impl Partition {
    /// First the journal, which cannot be missed; then the word to whoever runs
    /// the turn, so that it ends at once.
    async fn end(
        &self,
        conversation: &ConversationId,
        turn: TurnId,
        by: &MessageId,
        doing: FromPerson,
    ) -> Result<(), String> {
        let appended = self.journals.append_from_person(conversation, turn, &doing, now_ms()).await;
        appended.map_err(|err| err.to_string())?;
        self.bus.tell_control(turn, &StopTurn { stop: by.clone() }).await;
        Ok(())
    }
}

fn retry(why: &dyn std::fmt::Display) -> Verdict {
    warn!(%why, "failed to route an event; trying again");
    Verdict::RetryAfter(RETRY)
}
