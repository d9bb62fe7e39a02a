//! How much a person, and a conversation, may send: asked before publishing.
//!
//! Counted by this process alone, because an adapter keeps no state that must
//! last: with several replicas each allows as much.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use domain::ids::ConversationId;
use domain::message::{Event, Inbound, is_stop_phrase};
use domain::quota::{Quota, Usage};

pub(crate) struct Quotas {
    begun: Instant,
    used: Mutex<Used>,
    stop_phrases: Vec<String>,
}

struct Used {
    people: Usage<String>,
    conversations: Usage<ConversationId>,
}

impl Quotas {
    pub(crate) fn new(person: Quota, conversation: Quota, stop_phrases: Vec<String>) -> Self {
        let used = Used { people: Usage::new(person), conversations: Usage::new(conversation) };
        Self { begun: Instant::now(), used: Mutex::new(used), stop_phrases }
    }

    /// Takes an event of its sender; the error is told to them. A stop is always
    /// taken.
    pub(crate) fn take(&self, inbound: &Inbound) -> Result<(), String> {
        let Some(sender) = self.sender(inbound) else { return Ok(()) };
        let now = self.begun.elapsed();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let slow_down = |who: &str, wait: std::time::Duration| {
            let seconds = wait.as_secs_f64().ceil();
            format!("{who} sent more than I take in a minute; try again in {seconds} seconds.")
        };
        used.people.take(sender, now).map_err(|wait| slow_down("you have", wait))?;
        let taken = used.conversations.take(&inbound.conversation, now);
        taken.map_err(|wait| {
            used.people.give_back(sender);
            slow_down("this conversation has", wait)
        })
    }

    /// For an event that will be offered again.
    pub(crate) fn give_back(&self, inbound: &Inbound) {
        let Some(sender) = self.sender(inbound) else { return };
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.people.give_back(sender);
        used.conversations.give_back(&inbound.conversation);
    }

    /// Who pays for an event; nobody for a stop.
    fn sender<'a>(&self, inbound: &'a Inbound) -> Option<&'a String> {
        match &inbound.event {
            Event::MessageReceived(message) if is_stop_phrase(&message.text, &self.stop_phrases) => None,
            Event::MessageReceived(message) => Some(&message.speaker.user),
            Event::ConversationReset { by, .. }
            | Event::QueueModeChosen { by, .. }
            | Event::ApprovalModeChosen { by, .. }
            | Event::QuestionAnswered { by, .. }
            | Event::TurnForked { by, .. } => Some(&by.user),
            Event::StopRequested { .. }
            | Event::DebounceElapsed { .. }
            | Event::QuestionAsked { .. }
            | Event::TurnFinished(_)
            | Event::TurnLost { .. } => None,
        }
    }
}
