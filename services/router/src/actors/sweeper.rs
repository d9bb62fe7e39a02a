//! Finds turns that nobody works on, and has them go on.
//!
//! A turn that runs stands in a queue until its reply is delivered. One that
//! stands in none was lost outside of our hands: a stream that was purged or
//! restored, a message that an operator dropped. It goes on from its journal.

use std::collections::HashMap;
use std::time::Duration;

use bus::{Alone, Bus, Conversations, JournalStore, Subject};
use domain::conversation::Effect;
use domain::ids::{ConversationId, TurnId};
use domain::message::{Event, Inbound};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub(crate) struct Sweeper {
    pub(crate) bus: Bus,
    pub(crate) conversations: Conversations,
    pub(crate) journals: JournalStore,
    /// How often it looks. A turn that stood in no queue twice is lost.
    pub(crate) every: Duration,
}

/// What one replica remembers between two looks.
#[derive(Default)]
struct Seen {
    /// How far the records were read.
    place: u64,
    /// Turns that run, and how often each stood in no queue.
    active: HashMap<ConversationId, (TurnId, u32)>,
}

impl Sweeper {
    /// Runs until `stop`. Every replica may: each repair is safe to make twice.
    pub(crate) async fn run(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut seen = Seen::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(self.every) => {}
            }
            if let Err(err) = self.look(&mut seen).await {
                debug!(error = %err, "failed to look for lost turns; looking again later");
            }
        }
    }

    async fn look(&self, seen: &mut Seen) -> anyhow::Result<()> {
        // Only what was written since: a record that stayed as it was is known.
        let written = self.conversations.written_after(seen.place).await?;
        seen.place = written.last;
        for (conversation, active) in written.active {
            match active {
                Some(turn) => {
                    let known = seen.active.entry(conversation).or_insert((turn, 0));
                    if known.0 != turn {
                        *known = (turn, 0);
                    }
                }
                None => {
                    seen.active.remove(&conversation);
                }
            }
        }
        for (conversation, (turn, absent)) in &mut seen.active {
            if self.bus.has_work(conversation).await? {
                *absent = 0;
                continue;
            }
            *absent += 1;
            if *absent >= 2 {
                *absent = 0;
                if let Err(err) = self.repair(conversation, *turn).await {
                    warn!(%turn, error = %err, "failed to have a lost turn go on; trying again later");
                }
            }
        }
        Ok(())
    }

    async fn repair(&self, conversation: &ConversationId, turn: TurnId) -> anyhow::Result<()> {
        let (state, _) = self.conversations.read(conversation).await?;
        if state.active.is_none_or(|active| active.turn != turn) {
            return Ok(());
        }
        let begun = state.outbox.iter().find_map(|effect| match effect {
            Effect::StartTurn(request) if request.turn == turn => Some(request),
            _ => None,
        });
        let journal = self.journals.read(conversation, turn).await?;
        if let Some(reply) = &journal.state().reply {
            info!(%turn, "a finished turn stands in no queue; sending its reply again");
            let subject = Subject::Outbound(&reply.route.platform, conversation);
            self.bus.store(subject, &format!("{turn}:reply:swept"), reply.as_ref()).await?;
        } else if let Some(context) = &journal.state().context {
            info!(%turn, "a turn stands in no queue; having it run again");
            let id = format!("{turn}:run:swept");
            if self.bus.store_alone(Subject::TurnRun(conversation), &id, context.as_ref()).await? == Alone::Taken {
                debug!(%turn, "it runs again already");
            }
        } else if let Some(request) = begun {
            // The stream may only have had no room for it so far.
            info!(%turn, "a turn stands in no queue; having it prepared again");
            let subject = Subject::TurnPrepare(conversation);
            self.bus.store(subject, &format!("{turn}:prepare:swept"), request).await?;
        } else {
            warn!(%turn, "a turn stands in no queue and has no journal; telling the person");
            let event = Event::TurnLost { turn };
            let lost = Inbound { conversation: conversation.clone(), route: None, event };
            self.bus.store(Subject::Inbound(conversation), &lost.publish_id(), &lost).await?;
        }
        Ok(())
    }
}
