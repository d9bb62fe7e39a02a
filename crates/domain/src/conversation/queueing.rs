//! What becomes of messages that arrive while a turn runs, and what comes after it.

use super::{
    Address, Answers, Audience, Conversation, Effect, Ending, Limits, MessageId, QueueMode, ReplyKind, UserMessage,
};

impl Conversation {
    fn mode(&self, place: &Address<'_>, limits: &Limits) -> QueueMode {
        self.mode.unwrap_or(match place.route.audience {
            Audience::Direct => limits.direct,
            Audience::Group => limits.group,
        })
    }

    pub(super) fn receive(&mut self, place: &Address<'_>, message: &UserMessage, limits: &Limits) {
        if self.active.is_none() {
            if place.route.audience == Audience::Group && limits.debounce_ms > 0 {
                // A group that never falls silent is answered when no more may wait.
                if self.full(message, limits).is_some() && !self.waiting.is_empty() {
                    let all = self.waiting.drain(..).collect();
                    self.begin(place, all, limits);
                    return self.receive(place, message, limits);
                }
                if !self.wait(place, message, limits) {
                    return;
                }
                // Of several, the last one that elapses begins the turn.
                return self.outbox.push(Effect::Wake { after_ms: limits.debounce_ms, last: message.id.clone() });
            }
            return self.begin(place, vec![message.clone()], limits);
        }
        match self.mode(place, limits) {
            QueueMode::Followup | QueueMode::Collect => {
                self.wait(place, message, limits);
            }
            QueueMode::Steer => self.steer(place, message, limits),
            QueueMode::Interrupt => {
                if self.wait(place, message, limits) {
                    self.interrupt(&message.id);
                }
            }
        }
    }

    /// Lets a message wait, or refuses it with a word. Says which.
    fn wait(&mut self, place: &Address<'_>, message: &UserMessage, limits: &Limits) -> bool {
        let refusal = self.full(message, limits);
        match refusal {
            None => self.waiting.push_back(message.clone()),
            Some(why) => {
                let text = format!("I did not take this message up: {why}. Send it again when I have caught up.");
                self.outbox.push(place.reply(ReplyKind::Refused, Answers::one(&message.id), text));
                return false;
            }
        }
        true
    }

    /// Why no more may wait, be it for its turn or for the next step.
    fn full(&self, message: &UserMessage, limits: &Limits) -> Option<String> {
        let steered = self.active.iter().flat_map(|active| &active.steered);
        let (count, bytes) = self
            .waiting
            .iter()
            .chain(steered)
            .fold((0, 0), |(count, bytes), waiting| (count + 1, bytes + waiting.weight()));
        if count >= limits.waiting_messages {
            Some(format!("{count} messages are waiting already"))
        } else if bytes + message.weight() > limits.waiting_bytes {
            Some(format!("the waiting messages are too long together ({bytes} bytes)"))
        } else {
            None
        }
    }

    fn steer(&mut self, place: &Address<'_>, message: &UserMessage, limits: &Limits) {
        let full = self.full(message, limits).is_some();
        match &mut self.active {
            // What was stopped goes nowhere any more, nobody overtakes who waits, a
            // turn acts with the rights of its own speaker, and files are read when a
            // turn begins.
            Some(active)
                if active.ending.is_none()
                    && !full
                    && self.waiting.is_empty()
                    && message.attachments.is_empty()
                    && active.speaker.user == message.speaker.user =>
            {
                active.owes.push(message.id.clone());
                active.steered.push(message.clone());
                self.outbox.push(Effect::Steer { turn: active.turn, message: Box::new(message.clone()) });
            }
            _ => {
                self.wait(place, message, limits);
            }
        }
    }

    fn interrupt(&mut self, by: &MessageId) {
        if let Some(active) = self.active.as_mut().filter(|active| active.ending.is_none()) {
            active.ending = Some(Ending::Interrupted);
            self.outbox.push(Effect::Interrupt { turn: active.turn, by: by.clone() });
        }
    }

    /// Begins the turn that a group has been silent for.
    pub(super) fn wake(&mut self, place: &Address<'_>, last: &MessageId, limits: &Limits) {
        if self.active.is_none() && self.waiting.back().is_some_and(|message| message.id == *last) {
            let all = self.waiting.drain(..).collect();
            self.begin(place, all, limits);
        }
    }

    /// After a turn: first what it did not come to read, then what waits.
    pub(super) fn go_on(&mut self, place: &Address<'_>, unread: Vec<UserMessage>, limits: &Limits) {
        let mut next = unread;
        if self.mode(place, limits).shares_turns() {
            next.extend(self.waiting.drain(..));
        } else if next.is_empty() {
            next.extend(self.waiting.pop_front());
        }
        self.begin(place, next, limits);
    }
}
