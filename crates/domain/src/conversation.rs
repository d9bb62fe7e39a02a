//! One active turn per conversation; what waits, waits durably and in order.
//!
//! [`step`] is the whole of the router's judgement. The new state carries the
//! effects it causes (its outbox), so that a router killed between storing the
//! state and causing the effects loses nothing: the redelivered event finds
//! itself applied, and the stored outbox is sent again under the same ids.
//!
//! Every accepted message ends in exactly one reply that names it: the turn's,
//! or one that this file writes (refused, nothing to stop, reset).

use std::collections::VecDeque;

use self::asking::Answering;
use crate::approval::ApprovalMode;
use crate::carry::Origin;
use crate::chat::Usage;
use crate::ids::{ConversationId, MessageId, TurnId};
use crate::message::{Audience, Event, Inbound, Principal, Route, TurnFinished, UserMessage, is_stop_phrase};
use crate::queue::QueueMode;
use crate::tier::Tier;
use crate::turn::{Reply, ReplyKind, TurnRequest};

mod asking; // Questions to people, and who may answer them.
mod queueing; // What arrives while a turn runs, and what comes after it.

pub use asking::Asked;

/// How many message ids a conversation remembers against repeated delivery by
/// the platform. Survives every deduplication window of the bus.
pub const SEEN: usize = 64;

/// What a conversation may hold.
#[derive(Debug, Clone)]
pub struct Limits {
    pub waiting_messages: usize,
    /// Sum of the waiting texts, in bytes: the record must fit into one message.
    pub waiting_bytes: usize,
    pub stop_phrases: Vec<String>,
    /// How conversations queue that nobody has chosen a mode for.
    pub direct: QueueMode,
    pub group: QueueMode,
    /// How long a group must be silent before a turn begins; 0: not at all.
    pub debounce_ms: u64,
    /// How long a call may wait for a person's word.
    pub approval_ms: u64,
    /// Users who may answer other people's questions whether a call may run.
    pub admins: Vec<String>,
}

/// A place in one incarnation of the inbound stream. Sequences of different
/// incarnations do not compare: a recreated stream starts again from one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// When the stream was created, in nanoseconds since the Unix epoch.
    pub incarnation: i64,
    pub sequence: u64,
}

impl Position {
    fn is_at_or_before(self, applied: Position) -> bool {
        self.incarnation == applied.incarnation && self.sequence <= applied.sequence
    }
}

/// The turn that is running, and whom it owes a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    pub turn: TurnId,
    /// Whose rights it acts with.
    pub speaker: Principal,
    /// Messages and stops that the turn's reply is expected to name.
    pub owes: Vec<MessageId>,
    /// Messages that went into the running turn; it may end without having read them.
    pub steered: Vec<UserMessage>,
    /// Whether a person ended it already.
    pub ending: Option<Ending>,
}

/// How a person ended a running turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Stopped,
    Interrupted,
}

/// The durable state of one conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversation {
    pub applied: Position,
    pub seen: VecDeque<MessageId>,
    /// Where replies go, as the last event that knew it said.
    pub route: Option<Route>,
    pub active: Option<Active>,
    pub waiting: VecDeque<UserMessage>,
    pub previous: Option<TurnId>,
    pub tier: Option<Tier>,
    pub generation: u32,
    /// The mode that somebody chose here.
    pub mode: Option<QueueMode>,
    /// Which calls somebody chose to be asked for here.
    pub approval: Option<ApprovalMode>,
    /// The question that the last turn ended with.
    pub asked: Option<Asked>,
    /// What the last applied event causes.
    pub outbox: Vec<Effect>,
}

/// What a step causes outside. Each is safe to cause again under its own id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    StartTurn(TurnRequest),
    /// Append `StopRequested` to the journal, then tell the running replica.
    StopTurn {
        turn: TurnId,
        stop: MessageId,
    },
    /// Append `Injected` to the journal.
    Steer {
        turn: TurnId,
        message: Box<UserMessage>,
    },
    /// Append `Interrupted` to the journal, then tell the running replica.
    Interrupt {
        turn: TurnId,
        by: MessageId,
    },
    /// Send `DebounceElapsed` after this time.
    Wake {
        after_ms: u64,
        last: MessageId,
    },
    Reply(Reply),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Store this state, cause its outbox, acknowledge.
    Applied(Box<Conversation>),
    /// Was applied before: cause the stored outbox again, acknowledge.
    AlreadyApplied,
}

/// Applies one event that stands at `at` in the inbound stream.
pub fn step(state: &Conversation, at: Position, inbound: &Inbound, limits: &Limits) -> Step {
    if at.is_at_or_before(state.applied) {
        return Step::AlreadyApplied;
    }
    let mut next = state.clone();
    next.applied = at;
    next.outbox.clear();
    if let Some(id) = inbound.event.message_id() {
        if next.seen.contains(id) {
            return Step::Applied(Box::new(next));
        }
        next.seen.push_back(id.clone());
        while next.seen.len() > SEEN {
            next.seen.pop_front();
        }
    }
    if inbound.route.is_some() {
        next.route.clone_from(&inbound.route);
    }
    // Nobody has ever spoken here: there is nobody to answer.
    let Some(route) = next.route.clone() else { return Step::Applied(Box::new(next)) };
    let place = Address { conversation: &inbound.conversation, route: &route };
    match &inbound.event {
        Event::MessageReceived(message) if is_stop_phrase(&message.text, &limits.stop_phrases) => {
            next.stop(&place, &message.id);
        }
        Event::MessageReceived(message) => next.receive(&place, message, limits),
        Event::DebounceElapsed { last } => next.wake(&place, last, limits),
        Event::QueueModeChosen { id, by: Principal { .. }, mode } => next.choose(&place, id, *mode),
        Event::ApprovalModeChosen { id, by: Principal { .. }, mode } => {
            next.approval = Some(*mode);
            next.outbox.push(place.reply(ReplyKind::Notice, Answers::one(id), mode.told_user().to_owned()));
        }
        Event::QuestionAnswered { id, by, turn, choice, at_ms } => {
            next.answer(&place, &Answering { id, by, turn: *turn, choice: *choice, at_ms: *at_ms }, limits);
        }
        Event::TurnForked { id, by, origin, model } => next.fork(&place, id, by, origin, model.clone()),
        Event::StopRequested { id, by: Principal { .. } } => next.stop(&place, id),
        Event::ConversationReset { id, by: Principal { .. } } => next.reset(&place, id),
        Event::QuestionAsked { turn, question, text, at_ms } => next.ask(*turn, *question, text, *at_ms),
        Event::TurnFinished(finished) => next.finish(&place, finished, limits),
        Event::TurnLost { turn } => next.lose(&place, *turn, limits),
    }
    Step::Applied(Box::new(next))
}

struct Address<'a> {
    conversation: &'a ConversationId,
    route: &'a Route,
}

impl Address<'_> {
    /// `answers` is never empty: a reply names what it answers.
    fn reply(&self, kind: ReplyKind, answers: Answers, text: String) -> Effect {
        Effect::Reply(Reply {
            turn: TurnId::derive(self.conversation, &answers.first),
            conversation: self.conversation.clone(),
            route: self.route.clone(),
            answers: std::iter::once(answers.first).chain(answers.rest).collect(),
            kind,
            text,
            notices: Vec::new(),
            tier: Tier::Mid,
            usage: Usage::default(),
            tool_calls: 0,
            asks: None,
        })
    }
}

struct Answers {
    first: MessageId,
    rest: Vec<MessageId>,
}

impl Answers {
    fn one(id: &MessageId) -> Self {
        Self { first: id.clone(), rest: Vec::new() }
    }

    fn all(ids: impl IntoIterator<Item = MessageId>) -> Option<Self> {
        let mut ids = ids.into_iter();
        Some(Self { first: ids.next()?, rest: ids.collect() })
    }
}

impl Conversation {
    fn stop(&mut self, place: &Address<'_>, stop: &MessageId) {
        // Whoever says stop has answered.
        let dropped_question = self.asked.take().is_some();
        let Some(active) = &mut self.active else {
            let Some(mut dropped) = Answers::all(self.waiting.drain(..).map(|waiting| waiting.id)) else {
                let text = match dropped_question {
                    true => "Stopped: what I asked about is not done.".to_owned(),
                    false => "There is nothing to stop.".to_owned(),
                };
                return self.outbox.push(place.reply(ReplyKind::Notice, Answers::one(stop), text));
            };
            dropped.rest.push(stop.clone());
            let text = "Stopped: I had not begun with it.".to_owned();
            return self.outbox.push(place.reply(ReplyKind::Stopped, dropped, text));
        };
        active.owes.push(stop.clone());
        active.ending = Some(Ending::Stopped);
        self.outbox.push(Effect::StopTurn { turn: active.turn, stop: stop.clone() });
        let count = self.waiting.len();
        if let Some(dropped) = Answers::all(self.waiting.drain(..).map(|waiting| waiting.id)) {
            let text = match count {
                1 => "One message was waiting; I dropped it, because you said stop.".to_owned(),
                n => format!("{n} messages were waiting; I dropped them, because you said stop."),
            };
            self.outbox.push(place.reply(ReplyKind::Stopped, dropped, text));
        }
    }

    fn reset(&mut self, place: &Address<'_>, id: &MessageId) {
        self.generation = self.generation.saturating_add(1);
        self.tier = None;
        self.asked = None;
        let text = "We start afresh. What I remember about you stays.".to_owned();
        self.outbox.push(place.reply(ReplyKind::Notice, Answers::one(id), text));
    }

    fn choose(&mut self, place: &Address<'_>, id: &MessageId, mode: QueueMode) {
        self.mode = Some(mode);
        self.outbox.push(place.reply(ReplyKind::Notice, Answers::one(id), mode.told_user().to_owned()));
    }

    fn fork(&mut self, place: &Address<'_>, id: &MessageId, by: &Principal, origin: &Origin, model: Option<String>) {
        // Nor may it overtake what waits for a group to fall silent.
        if self.active.is_some() || !self.waiting.is_empty() {
            let text = "A turn is running or waiting here already; fork into another conversation.".to_owned();
            return self.outbox.push(place.reply(ReplyKind::Refused, Answers::one(id), text));
        }
        let text = format!("A fork of turn {}.", origin.turn);
        let message = UserMessage {
            id: id.clone(),
            speaker: by.clone(),
            text,
            attachments: Vec::new(),
            tier: None,
            sent_at_ms: 0,
        };
        self.start(place, vec![message], Some(origin.clone()), model);
    }

    fn finish(&mut self, place: &Address<'_>, finished: &TurnFinished, limits: &Limits) {
        let Some(active) = self.active.take_if(|active| active.turn == finished.turn) else { return };
        self.previous = Some(active.turn);
        self.tier = Some(finished.tier);
        // Only the turn that ends here may have asked.
        self.asked.take_if(|asked| asked.turn != active.turn);
        let unread: Vec<UserMessage> =
            active.steered.into_iter().filter(|message| !finished.answers.contains(&message.id)).collect();
        // A stop that came after the reply was written is not named in it.
        let late = |id: &MessageId| !finished.answers.contains(id) && !unread.iter().any(|message| message.id == *id);
        if let Some(owed) = Answers::all(active.owes.into_iter().filter(late)) {
            let text = "I had already finished when that reached me.".to_owned();
            self.outbox.push(place.reply(ReplyKind::Notice, owed, text));
        }
        if active.ending == Some(Ending::Stopped) {
            if let Some(dropped) = Answers::all(unread.into_iter().map(|message| message.id)) {
                let text = "I had not come to this when you said stop, and dropped it.".to_owned();
                self.outbox.push(place.reply(ReplyKind::Stopped, dropped, text));
            }
            return self.go_on(place, Vec::new(), limits);
        }
        self.go_on(place, unread, limits);
    }

    fn lose(&mut self, place: &Address<'_>, turn: TurnId, limits: &Limits) {
        let Some(active) = self.active.take_if(|active| active.turn == turn) else { return };
        if let Some(owed) = Answers::all(active.owes) {
            let text = "Something is wrong with this message on my side, and I put it aside. \
                        Please say it in other words; the operator finds it among the dead letters."
                .to_owned();
            self.outbox.push(place.reply(ReplyKind::Failed, owed, text));
        }
        self.go_on(place, Vec::new(), limits);
    }

    fn start(
        &mut self,
        place: &Address<'_>,
        messages: Vec<UserMessage>,
        origin: Option<Origin>,
        model: Option<String>,
    ) {
        let Some(first) = messages.first() else { return };
        let speaker = first.speaker.clone();
        let request = TurnRequest {
            turn: TurnId::derive(place.conversation, &first.id),
            conversation: place.conversation.clone(),
            route: place.route.clone(),
            previous: self.previous,
            discussion_tier: self.tier,
            generation: self.generation,
            origin,
            model,
            approval: self.approval.unwrap_or_default(),
            messages,
        };
        self.asked = None;
        self.active =
            Some(Active { turn: request.turn, speaker, owes: request.answers(), steered: Vec::new(), ending: None });
        self.outbox.push(Effect::StartTurn(request));
    }
}

#[cfg(test)]
mod tests;
