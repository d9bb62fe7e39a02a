//! Questions that turns end with: who may answer them, how long, and what follows.
//!
//! An answer is used once. It is bound to the turn that asked, whose journal holds the
//! calls with their arguments: nothing else can run by it.

use super::{Address, Answers, Conversation, Limits, MessageId, Origin, Principal, ReplyKind, TurnId, UserMessage};
use crate::approval::Question;
use crate::carry::{Carry, Choice};

/// Longest text of a question that a conversation keeps, in bytes: more than one has.
const TEXT: usize = 128 * 1024;

/// A question to a person about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The turn that asked.
    pub turn: TurnId,
    /// Who may answer, and with whose rights the work goes on.
    pub of: Principal,
    pub question: Question,
    /// The question as the person saw it; for lists.
    pub text: String,
    /// When it was asked, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

impl Asked {
    /// When an answer comes too late: whether a call may run is not asked for ever.
    pub fn expires_at_ms(&self, limits: &Limits) -> Option<i64> {
        let after = i64::try_from(limits.approval_ms).unwrap_or(i64::MAX);
        (self.question == Question::Approval).then(|| self.at_ms.saturating_add(after))
    }

    fn is_over(&self, at_ms: i64, limits: &Limits) -> bool {
        self.expires_at_ms(limits).is_some_and(|end| at_ms > end)
    }
}

/// Somebody's answer, from anywhere.
pub(super) struct Answering<'a> {
    pub(super) id: &'a MessageId,
    pub(super) by: &'a Principal,
    pub(super) turn: TurnId,
    pub(super) choice: Choice,
    pub(super) at_ms: i64,
}

/// What is said to an answer that comes too late.
const OVER: &str = "That was asked too long ago, and nothing was done. Ask me again if you still want it.";

impl Conversation {
    pub(super) fn ask(&mut self, turn: TurnId, question: Question, text: &str, at_ms: i64) {
        let Some(active) = self.active.as_ref().filter(|active| active.turn == turn) else { return };
        // Who waits already spoke before the question; their turn comes next, and
        // the question is dropped as by any other message.
        if self.waiting.is_empty() && active.steered.is_empty() && active.ending.is_none() {
            let text = text[..text.floor_char_boundary(TEXT)].to_owned();
            self.asked = Some(Asked { turn, of: active.speaker.clone(), question, text, at_ms });
        }
    }

    /// Takes an answer that did not come as a message of the conversation.
    pub(super) fn answer(&mut self, place: &Address<'_>, answering: &Answering<'_>, limits: &Limits) {
        let Answering { id, by, turn, choice, at_ms } = *answering;
        let notice = |text: &str| place.reply(ReplyKind::Notice, Answers::one(id), text.to_owned());
        let may_answer = |asked: &Asked| {
            let is_own = (&asked.of.user, &asked.of.tenant) == (&by.user, &by.tenant);
            let is_admin = asked.question == Question::Approval && limits.admins.contains(&by.user);
            asked.turn == turn && asked.question == choice.answers() && (is_own || is_admin)
        };
        if !self.asked.as_ref().is_some_and(may_answer) {
            return self.outbox.push(notice("There is no such question that you could answer: it was answered, or dropped when something else was said."));
        }
        // Nor may it overtake what waits for a group to fall silent.
        if self.active.is_some() || !self.waiting.is_empty() {
            return self.outbox.push(notice("I am still at work there. Answer again in a moment."));
        }
        let Some(asked) = self.asked.take() else { return };
        if asked.is_over(at_ms, limits) {
            return self.outbox.push(notice(OVER));
        }
        let text = match choice {
            Choice::Approve => "yes",
            Choice::Deny => "no",
            Choice::Retry => "retry",
            Choice::Worked => "it worked",
            Choice::Skip => "skip",
        };
        let message = UserMessage {
            id: id.clone(),
            speaker: asked.of.clone(),
            text: text.to_owned(),
            attachments: Vec::new(),
            tier: None,
            sent_at_ms: at_ms,
        };
        let origin = origin(place, &asked, choice);
        self.start(place, vec![message], Some(origin), None);
    }

    /// Starts a turn; a message that is nothing but the answer to a question goes
    /// on where the question was asked. Only who was asked can answer, and only a person.
    pub(super) fn begin(&mut self, place: &Address<'_>, messages: Vec<UserMessage>, limits: &Limits) {
        let answer = match &messages[..] {
            // What is said to a sub-agent a model says, who agrees to nothing.
            [only] if !place.route.is_subagent() => {
                let asked = self.asked.take_if(|asked| asked.of.user == only.speaker.user);
                asked.and_then(|asked| Some((Choice::parse(&only.text, asked.question)?, asked, only)))
            }
            _ => None,
        };
        let Some((choice, asked, only)) = answer else { return self.start(place, messages, None, None) };
        if asked.is_over(only.sent_at_ms, limits) {
            let answers = Answers::one(&only.id);
            self.outbox.push(place.reply(ReplyKind::Notice, answers, OVER.to_owned()));
            return self.go_on(place, Vec::new(), limits);
        }
        let origin = origin(place, &asked, choice);
        self.start(place, messages, Some(origin), None);
    }
}

fn origin(place: &Address<'_>, asked: &Asked, choice: Choice) -> Origin {
    Origin { conversation: place.conversation.clone(), turn: asked.turn, carry: Carry::Answered(choice) }
}
