//! Reads the streams and the ledgers from the beginning, and counts.
//!
//! Shares nothing with the services but the wire format: what they believe is
//! not asked.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::pull;
use domain::ids::{ConversationId, MessageId, TurnId};
use domain::journal::{Entry, Record};
use domain::message::{Event, Inbound};
use domain::turn::{Reply, ReplyKind};
use futures::StreamExt;
use proto::Wire;

use super::ledgers::{ToolServer, Vendor};
use super::people::Accepted;
use super::report::Row;

/// A message as its stream keeps it.
struct Kept {
    subject: String,
    /// Milliseconds since the Unix epoch, by the server.
    at_ms: i64,
    payload: bytes::Bytes,
}

/// What the streams of a run hold.
pub struct Streams {
    inbound: Vec<Kept>,
    journal: Vec<Kept>,
    terminal: Vec<Kept>,
}

impl Streams {
    pub async fn read(url: &str) -> anyhow::Result<Self> {
        let context = async_nats::jetstream::new(async_nats::connect(url).await?);
        Ok(Self {
            inbound: read(&context, "CLARA_INBOUND").await?,
            journal: read(&context, "CLARA_JOURNAL").await?,
            terminal: read(&context, "CLARA_TERMINAL").await?,
        })
    }
}

async fn read(context: &Context, name: &str) -> anyhow::Result<Vec<Kept>> {
    let stream = context.get_stream(name).await?;
    let state = &stream.cached_info().state;
    let (mut kept, last) = (Vec::new(), state.last_sequence);
    if state.messages == 0 {
        return Ok(kept);
    }
    let mut messages = stream.create_consumer(pull::OrderedConfig::default()).await?.messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let info = message.info().map_err(|err| anyhow::anyhow!("{err}"))?;
        let (sequence, pending) = (info.stream_sequence, info.pending);
        let at_ms = i64::try_from(info.published.unix_timestamp_nanos() / 1_000_000)?;
        kept.push(Kept { subject: message.subject.to_string(), at_ms, payload: message.payload.clone() });
        if sequence >= last || pending == 0 {
            break;
        }
    }
    Ok(kept)
}

/// What was promised and done outside.
pub struct Ledgers<'a> {
    pub accepted: &'a [Accepted],
    pub vendor: &'a Vendor,
    pub tools: &'a ToolServer,
    /// Processes killed without a word.
    pub kills: usize,
    /// When nothing was broken any more, in milliseconds since the Unix epoch.
    pub healed_ms: i64,
}

/// Counts what came of every accepted message.
pub fn check(scenario: &str, streams: &Streams, ledgers: &Ledgers<'_>) -> Row {
    let mut row = Row { scenario: scenario.to_owned(), kills: ledgers.kills, ..Row::default() };
    row.accepted = ledgers.accepted.len();
    let replies = replies(streams, &mut row);
    answers(&replies, ledgers, &mut row);
    order(streams, &replies, ledgers, &mut row);
    let claims = journals(streams, &mut row);
    billing(ledgers, &claims, &mut row);
    side_effects(ledgers, &mut row);
    row
}

struct Shown {
    at_ms: i64,
    reply: Reply,
}

fn replies(streams: &Streams, row: &mut Row) -> Vec<Shown> {
    let read = streams.terminal.iter().map(|kept| (kept.at_ms, Reply::from_wire(&kept.payload)));
    read.filter_map(|(at_ms, reply)| match reply {
        Ok(reply) => Some(Shown { at_ms, reply }),
        Err(err) => {
            row.violations.push(format!("a reply that cannot be read: {err}"));
            None
        }
    })
    .collect()
}

/// I1 and I2: each accepted message is named by one final reply, with its own text.
fn answers(replies: &[Shown], ledgers: &Ledgers<'_>, row: &mut Row) {
    let mut naming: HashMap<&MessageId, Vec<&Shown>> = HashMap::new();
    for shown in replies {
        for id in &shown.reply.answers {
            naming.entry(id).or_default().push(shown);
        }
    }
    let mut turns = HashSet::new();
    for shown in replies.iter().filter(|shown| shown.reply.ends_turn()) {
        if !turns.insert(shown.reply.turn) {
            row.violations.push(format!("turn {} has two final replies", shown.reply.turn));
        }
    }
    for message in ledgers.accepted {
        match naming.get(&message.id).map(Vec::as_slice) {
            None | Some([]) => {
                row.lost += 1;
                row.violations.push(format!("{} ({:?}) has no reply", message.id, message.kind));
            }
            Some([shown]) => {
                row.answered += 1;
                let since = message.at_ms.max(ledgers.healed_ms);
                row.slowest_recovery_ms = row.slowest_recovery_ms.max(shown.at_ms - since);
                *row.kinds.entry(format!("{:?}", shown.reply.kind)).or_default() += 1;
                if shown.reply.kind == ReplyKind::Failed {
                    row.failed.push(format!("{:?}: {}", message.kind, shown.reply.text));
                    // Nothing was wrong with it: giving it up is no answer.
                    if message.kind.is_sound() {
                        row.violations.push(format!("{} was given up: {}", message.key, shown.reply.text));
                    }
                }
                let answered = shown.reply.kind == ReplyKind::Answered;
                if answered && shown.reply.answers.len() == 1 && shown.reply.text != format!("re: {}", message.key) {
                    row.violations.push(format!("{} was answered with {:?}", message.key, shown.reply.text));
                }
            }
            Some(_) => row.doubled += 1,
        }
    }
}

/// I4: in every conversation, replies stand in the order of what they answer.
fn order(streams: &Streams, replies: &[Shown], ledgers: &Ledgers<'_>, row: &mut Row) {
    let mut places: HashMap<MessageId, usize> = HashMap::new();
    for kept in &streams.inbound {
        if let Ok(Inbound { event: Event::MessageReceived(message), .. }) = Inbound::from_wire(&kept.payload) {
            let next = places.len();
            places.entry(message.id).or_insert(next);
        }
    }
    let mut last_said: HashMap<&ConversationId, (usize, i64)> = HashMap::new();
    for message in ledgers.accepted {
        // What was handled long ago may have left the stream.
        let Some(place) = places.get(&message.id) else { continue };
        // Of two that were offered at the same time either may be first.
        if let Some((before, accepted_ms)) = last_said.insert(&message.conversation, (*place, message.at_ms))
            && accepted_ms < message.offered_ms
            && before > *place
        {
            row.violations.push(format!("{} was stored before what was said before it", message.id));
        }
    }
    let mut last: HashMap<&ConversationId, usize> = HashMap::new();
    for shown in replies.iter().filter(|shown| shown.reply.ends_turn()) {
        let first = shown.reply.answers.iter().filter_map(|id| places.get(id)).min();
        let Some(place) = first else { continue };
        if let Some(before) = last.insert(&shown.reply.conversation, *place)
            && before > *place
        {
            row.misordered += 1;
        }
    }
}

/// I3 and I6: journals are linear, and no tool is intended after a stop. Gives
/// how often the turn of each message was claimed.
fn journals(streams: &Streams, row: &mut Row) -> HashMap<MessageId, u32> {
    let mut turns: BTreeMap<TurnId, Vec<Record>> = BTreeMap::new();
    for kept in &streams.journal {
        let turn = kept.subject.rsplit('.').next().and_then(|turn| TurnId::parse(turn).ok());
        match (turn, Record::from_wire(&kept.payload)) {
            (Some(turn), Ok(record)) => turns.entry(turn).or_default().push(record),
            _ => row.violations.push(format!("a journal record that cannot be read at {}", kept.subject)),
        }
    }
    let mut claims = HashMap::new();
    for (turn, records) in turns {
        let (mut epoch, mut replies, mut stopped, mut finished) = (0, 0, false, false);
        for record in &records {
            let claiming = record.entries.iter().any(|entry| matches!(entry, Entry::Claimed { .. }));
            let expected = if claiming { epoch + 1 } else { epoch };
            if record.epoch != 0 && record.epoch != expected {
                row.violations.push(format!("turn {turn}: epoch {} after {epoch}", record.epoch));
            }
            epoch = epoch.max(record.epoch);
            for entry in &record.entries {
                match entry {
                    Entry::ReplyReady(_) => replies += 1,
                    Entry::StopRequested { .. } => stopped = true,
                    Entry::ToolIntended { .. } if stopped || finished => {
                        row.violations.push(format!("turn {turn}: a tool was intended after its end"));
                    }
                    Entry::Finished => finished = true,
                    _ => {}
                }
            }
        }
        if replies > 1 {
            row.violations.push(format!("turn {turn} has {replies} replies in its journal"));
        }
        let context = records.iter().flat_map(|record| &record.entries).find_map(|entry| match entry {
            Entry::ContextFixed(context) => Some(context),
            _ => None,
        });
        for id in context.map(|context| context.request.answers()).unwrap_or_default() {
            claims.insert(id, epoch);
        }
    }
    claims
}

/// At most one model call is billed again for each time a turn was taken over.
fn billing(ledgers: &Ledgers<'_>, claims: &HashMap<MessageId, u32>, row: &mut Row) {
    let billed = ledgers.vendor.billed();
    row.model_calls = billed.values().map(|count| *count as usize).sum();
    row.model_calls_undisturbed = billed.len();
    for message in ledgers.accepted.iter().filter(|message| message.kind.is_sound()) {
        let again: u32 = (0..2)
            .filter_map(|step| billed.get(&(message.key.clone(), step)))
            .map(|count| count.saturating_sub(1))
            .sum();
        row.rebilled_model_calls += again as usize;
        let allowed = claims.get(&message.id).map_or(0, |claims| claims.saturating_sub(1));
        if again > allowed {
            row.violations.push(format!("{}: {again} model calls again, taken over {allowed} times", message.key));
        }
    }
}

/// I5: what must never run again ran at most once.
fn side_effects(ledgers: &Ledgers<'_>, row: &mut Row) {
    let mut runs: HashMap<String, usize> = HashMap::new();
    for (tool, call) in ledgers.tools.runs() {
        if tool == "charge" {
            *runs.entry(call).or_default() += 1;
        }
    }
    row.side_effects = runs.len();
    row.repeated_side_effects = runs.values().map(|count| count - 1).sum();
}
