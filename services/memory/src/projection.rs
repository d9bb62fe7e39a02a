//! From a turn's journal to the messages of the history. Pure.

use domain::attachment::Attachment;
use domain::ids::{ConversationId, TurnId};
use domain::journal::{Entry, Injected, Record};
use domain::memory::Role;
use domain::message::{Audience, UserMessage};
use domain::turn::{Reply, ReplyKind, TurnContext};
use learn::strength::was_used;

/// One message as a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageRow {
    /// The conversation with the platform's message id, or `turn:<turn>` for the reply.
    pub id: String,
    pub user: String,
    pub role: Role,
    pub name: String,
    pub text: String,
    pub attachments: Vec<Attachment>,
    pub at_ms: i64,
    /// `said`, or the kind of a reply; of a sub-agent `task` and `result`, which nobody said: they
    /// are its history, and are neither found nor learnt from.
    pub kind: &'static str,
    /// Order within the conversation: when the journal stored it, in
    /// microseconds, and the place within the record.
    pub position: i64,
}

/// What one record adds to the history of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TurnRows {
    pub conversation: ConversationId,
    pub turn: TurnId,
    pub owner: String,
    pub audience: Audience,
    pub generation: u32,
    pub messages: Vec<MessageRow>,
    /// The facts that the answer used.
    pub used: Vec<String>,
    /// The reminders that it was told of.
    pub reminded: Vec<String>,
}

/// The kind under which a reply is stored; `failed` is no part of the history. One that failed after
/// tools had run is: what was done already is not to be done again.
pub(crate) fn kind(reply: &Reply) -> &'static str {
    match reply.kind {
        ReplyKind::Answered => "answered",
        ReplyKind::Failed if reply.tool_calls > 0 => "broken",
        ReplyKind::Failed => "failed",
        ReplyKind::Stopped => "stopped",
        ReplyKind::Refused => "refused",
        ReplyKind::Notice => "notice",
        ReplyKind::Question => "question",
    }
}

/// The rows of one record that the journal stored at this time. The reply needs the
/// turn's context, which an earlier record may hold.
///
/// What came into the running turn belongs to it if a step read it; else a turn
/// of its own has it.
pub(crate) fn rows(
    stored_at_us: i64,
    record: &Record,
    context: Option<&TurnContext>,
    injected: &[Injected],
) -> Option<TurnRows> {
    let own = record.entries.iter().find_map(|entry| match entry {
        Entry::ContextFixed(context) => Some(context.as_ref()),
        _ => None,
    });
    let context = own.or(context)?;
    let mut messages = Vec::new();
    if own.is_some() {
        let asked = context.request.messages.iter().zip(0..);
        messages.extend(asked.map(|(message, place)| said_row(context, message, stored_at_us + place)));
    }
    messages.extend(record.entries.iter().filter_map(|entry| match entry {
        Entry::Injected { message } => {
            let read = injected.iter().any(|known| known.message.id == message.id && known.step.is_some());
            read.then(|| said_row(context, message, stored_at_us))
        }
        _ => None,
    }));
    let reply = record.entries.iter().find_map(|entry| match entry {
        Entry::ReplyReady(reply) => Some(reply.as_ref()),
        _ => None,
    });
    let owner = context.request.principal()?.user.clone();
    messages.extend(reply.map(|reply| {
        let row = reply_row(reply, &owner, record.at_ms, stored_at_us);
        match reply.kind {
            // What a sub-agent answers is said to its parent, and to nobody else.
            ReplyKind::Answered if context.request.route.is_subagent() => MessageRow { kind: "result", ..row },
            _ => row,
        }
    }));
    let answer = reply.filter(|reply| reply.kind == ReplyKind::Answered).map_or("", |reply| reply.text.as_str());
    let reminded = match reply {
        Some(_) => context.reminders.iter().map(|reminder| reminder.id.clone()).collect(),
        None => Vec::new(),
    };
    let used =
        context.recalled.iter().filter(|fact| was_used(&fact.text, answer)).map(|fact| fact.id.clone()).collect();
    if messages.is_empty() {
        return None;
    }
    Some(TurnRows {
        conversation: context.request.conversation.clone(),
        turn: context.request.turn,
        owner,
        audience: context.request.route.audience,
        generation: context.request.generation,
        messages,
        used,
        reminded,
    })
}

fn said_row(context: &TurnContext, message: &UserMessage, position: i64) -> MessageRow {
    MessageRow {
        id: format!("{}/{}", context.request.conversation, message.id),
        user: message.speaker.user.clone(),
        role: Role::User,
        name: message.speaker.name.clone(),
        text: message.text.clone(),
        attachments: message.attachments.clone(),
        at_ms: message.sent_at_ms,
        kind: if context.request.route.is_subagent() { "task" } else { "said" },
        position,
    }
}

fn reply_row(reply: &Reply, owner: &str, at_ms: i64, position: i64) -> MessageRow {
    MessageRow {
        id: reply_id(reply.turn),
        user: owner.to_owned(),
        role: Role::Assistant,
        name: String::new(),
        text: reply.text.clone(),
        attachments: Vec::new(),
        at_ms,
        kind: kind(reply),
        position,
    }
}

/// The row id of a turn's reply.
pub(crate) fn reply_id(turn: TurnId) -> String {
    format!("turn:{turn}")
}

#[cfg(test)]
mod tests {
    use domain::chat::Usage;
    use domain::ids::{MessageId, Place};
    use domain::message::Route;
    use domain::tier::Tier;

    use super::*;

    #[test]
    fn what_failed_after_something_was_done_is_history() {
        let place = Place { platform: "cli".into(), tenant: "t".into(), channel: "c".into(), thread: String::new() };
        let (conversation, message) = (ConversationId::derive(&place), MessageId::parse("cli:1").unwrap());
        let failed = |tool_calls| Reply {
            turn: TurnId::derive(&conversation, &message),
            conversation: conversation.clone(),
            route: Route { platform: "cli".into(), channel: "c".into(), audience: Audience::Direct, parent: None },
            answers: vec![message.clone()],
            kind: ReplyKind::Failed,
            text: "no".into(),
            notices: Vec::new(),
            tier: Tier::Mid,
            usage: Usage::default(),
            tool_calls,
            asks: None,
        };
        assert_eq!([0, 1].map(|calls| kind(&failed(calls))), ["failed", "broken"]);
    }
}
