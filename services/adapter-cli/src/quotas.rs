//! How much a person, and a conversation, may send: asked before publishing.
//!
//! Counted by this process alone, because an adapter keeps no state that must
//! last: with several replicas each allows as much.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use domain::ids::ConversationId;
use domain::message::{Event, Inbound};
use domain::quota::{Quota, Usage};

pub(crate) struct Quotas {
    begun: Instant,
    used: Mutex<Used>,
}

struct Used {
    people: Usage<String>,
    conversations: Usage<ConversationId>,
}

impl Quotas {
    pub(crate) fn new(person: Quota, conversation: Quota) -> Self {
        let used = Used { people: Usage::new(person), conversations: Usage::new(conversation) };
        Self { begun: Instant::now(), used: Mutex::new(used) }
    }

    /// Takes a message of its sender; the error is told to them. A stop is
    /// always taken.
    pub(crate) fn take(&self, inbound: &Inbound) -> Result<(), String> {
        let Event::MessageReceived(message) = &inbound.event else { return Ok(()) };
        let now = self.begun.elapsed();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let slow_down = |who: &str, wait: std::time::Duration| {
            let seconds = wait.as_secs_f64().ceil();
            format!("{who} sent more than I take in a minute; try again in {seconds} seconds.")
        };
        used.people.take(&message.speaker.user, now).map_err(|wait| slow_down("you have", wait))?;
        let taken = used.conversations.take(&inbound.conversation, now);
        taken.map_err(|wait| {
            used.people.give_back(&message.speaker.user);
            slow_down("this conversation has", wait)
        })
    }
}
