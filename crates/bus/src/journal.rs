//! A turn's journal: appended by compare-and-set, read by subject.
//!
//! The pair of headers, message id and expected last sequence, makes an append
//! safe to retry and fences a stale owner: a retry answers "duplicate", another
//! writer's append answers a conflict, also after the server was killed.

use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use domain::ids::{ConversationId, MessageId, TurnId};
use domain::journal::{Entry, Record, TurnState};
use domain::message::UserMessage;
use futures::TryStreamExt;
use proto::Wire;

use crate::conversations::missing;
use crate::{Bus, BusError, PublishError, Subject};

/// Longest journal that is read, in records: limits of a turn keep it far below.
const MAX_RECORDS: usize = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody else appended: read the tail and decide anew.
    #[error("somebody else appended to the journal of turn {0}")]
    Fenced(TurnId),
    #[error(transparent)]
    Store(#[from] PublishError),
    #[error("the journal of turn {turn} cannot be read: {why}")]
    Unreadable { turn: TurnId, why: String },
}

/// The journals of all turns.
#[derive(Clone)]
pub struct JournalStore {
    bus: Bus,
    stream: Stream<()>,
}

/// What a person does to a turn that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromPerson {
    Stop(MessageId),
    /// A newer message takes the turn's place.
    Interrupt(MessageId),
    Steer(UserMessage),
}

/// A record with where and when the stream stored it.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub sequence: u64,
    /// By the server's clock, in microseconds since the Unix epoch: unlike the
    /// sequence, it goes on when a stream is recreated.
    pub stored_at_us: i64,
    pub record: Record,
}

/// One turn, for listings.
#[derive(Debug, Clone)]
pub struct TurnSummary {
    pub conversation: ConversationId,
    pub turn: TurnId,
    pub records: u64,
}

impl Bus {
    pub async fn journals(&self) -> Result<JournalStore, BusError> {
        let stream =
            self.context.get_stream_no_info("CLARA_JOURNAL").await.map_err(|err| missing("CLARA_JOURNAL", err))?;
        Ok(JournalStore { bus: self.clone(), stream })
    }
}

impl JournalStore {
    /// A journal nothing is known of: the first append assumes that it is empty.
    pub fn assume_empty(&self, conversation: &ConversationId, turn: TurnId) -> Journal {
        Journal {
            bus: self.bus.clone(),
            subject: Subject::Journal(conversation, turn).to_string(),
            turn,
            state: TurnState::default(),
            tail: 0,
            attempts: 0,
            nonce: self.bus.client.new_inbox(),
        }
    }

    /// Reads a journal from the stream's leader, so that nothing acknowledged
    /// is missing.
    pub async fn read(&self, conversation: &ConversationId, turn: TurnId) -> Result<Journal, AppendError> {
        let mut journal = self.assume_empty(conversation, turn);
        for recorded in self.records(conversation, turn).await? {
            journal.state.apply(&recorded.record);
            journal.tail = recorded.sequence;
        }
        Ok(journal)
    }

    /// Every record of a journal, oldest first.
    pub async fn records(&self, conversation: &ConversationId, turn: TurnId) -> Result<Vec<Recorded>, AppendError> {
        let subject = Subject::Journal(conversation, turn).to_string();
        let unreadable = |why: String| AppendError::Unreadable { turn, why };
        let (mut records, mut next) = (Vec::new(), 1);
        while records.len() < MAX_RECORDS {
            match self.stream.get_first_raw_message_by_subject(&subject, next).await {
                Ok(message) => {
                    let record = Record::from_wire(&message.payload).map_err(|err| unreadable(err.to_string()))?;
                    next = message.sequence + 1;
                    let stored_at_us = i64::try_from(message.time.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX);
                    records.push(Recorded { sequence: message.sequence, stored_at_us, record });
                }
                Err(err) if err.kind() == RawMessageErrorKind::NoMessageFound => return Ok(records),
                Err(err) => return Err(unreadable(err.to_string())),
            }
        }
        Err(unreadable(format!("it has more than {MAX_RECORDS} records")))
    }

    /// Appends what a person did to a running turn to its journal, which others
    /// write, once; not when the turn has its reply already.
    pub async fn append_from_person(
        &self,
        conversation: &ConversationId,
        turn: TurnId,
        doing: &FromPerson,
        at_ms: i64,
    ) -> Result<(), AppendError> {
        loop {
            let mut journal = self.read(conversation, turn).await?;
            let state = &journal.state;
            let (known, by, entry) = match doing {
                FromPerson::Stop(stop) => {
                    (state.stops.contains(stop), stop, Entry::StopRequested { stop: stop.clone() })
                }
                FromPerson::Interrupt(by) => (state.interrupted.is_some(), by, Entry::Interrupted { by: by.clone() }),
                FromPerson::Steer(message) => {
                    let known = state.injected.iter().any(|injected| injected.message.id == message.id);
                    (known, &message.id, Entry::Injected { message: Box::new(message.clone()) })
                }
            };
            if known || state.reply.is_some() {
                return Ok(());
            }
            let record = Record { epoch: 0, at_ms, entries: vec![entry] };
            match journal.append_as(&format!("{turn}:person:{by}"), record).await {
                Err(AppendError::Fenced(_)) => continue,
                other => return other,
            }
        }
    }

    /// The turns that the stream still keeps, at most `limit`; of one
    /// conversation if asked.
    pub async fn turns(&self, limit: usize) -> Result<Vec<TurnSummary>, BusError> {
        let stream = self.bus.context.get_stream("CLARA_JOURNAL").await.map_err(|err| missing("CLARA_JOURNAL", err))?;
        let mut subjects =
            stream.info_with_subjects("clara.v1.journal.>").await.map_err(|err| missing("CLARA_JOURNAL", err))?;
        let mut turns = Vec::new();
        while let Some((subject, records)) = subjects.try_next().await.map_err(|err| missing("CLARA_JOURNAL", err))? {
            let mut parts = subject.rsplit('.');
            let (Some(turn), Some(conversation)) = (parts.next(), parts.next()) else { continue };
            if let (Ok(turn), Ok(conversation)) = (TurnId::parse(turn), ConversationId::parse(conversation)) {
                turns.push(TurnSummary { conversation, turn, records: records as u64 });
            }
            if turns.len() >= limit {
                break;
            }
        }
        Ok(turns)
    }
}

/// One turn's journal, as far as it is known here.
pub struct Journal {
    bus: Bus,
    subject: String,
    turn: TurnId,
    state: TurnState,
    tail: u64,
    attempts: u32,
    /// No other journal in memory has it, not even one of this turn in this process.
    nonce: String,
}

impl Journal {
    pub fn state(&self) -> &TurnState {
        &self.state
    }

    /// Reads what others appended since.
    pub async fn refresh(&mut self, store: &JournalStore, conversation: &ConversationId) -> Result<(), AppendError> {
        let fresh = store.read(conversation, self.turn).await?;
        (self.state, self.tail) = (fresh.state, fresh.tail);
        Ok(())
    }

    /// Claims the turn for this replica, which works from the item at this place
    /// of the stream of turns: its epoch is one above the last.
    pub async fn claim(&mut self, build: &str, item: u64, first: Vec<Entry>, at_ms: i64) -> Result<(), AppendError> {
        let replica = self.bus.replica().to_owned();
        let mut entries = vec![Entry::Claimed { replica, build: build.to_owned(), item }];
        entries.extend(first);
        let epoch = self.state.epoch + 1;
        self.append_record(Record { epoch, at_ms, entries }).await
    }

    /// Appends entries under the claim that this replica holds.
    pub async fn append(&mut self, entries: Vec<Entry>, at_ms: i64) -> Result<(), AppendError> {
        let epoch = self.state.epoch;
        self.append_record(Record { epoch, at_ms, entries }).await
    }

    async fn append_record(&mut self, record: Record) -> Result<(), AppendError> {
        // Two that race for the same epoch must not take each other's append for a
        // retry of their own, and no two attempts are one: a refused append is not
        // the next one.
        self.attempts += 1;
        let id = format!("{}:{}:{}:{}", self.turn, record.epoch, self.nonce, self.attempts);
        self.append_as(&id, record).await
    }

    async fn append_as(&mut self, id: &str, record: Record) -> Result<(), AppendError> {
        match self.bus.compare_and_store(&self.subject, id, self.tail, &record).await {
            Ok(stored) => {
                self.tail = stored.sequence;
                self.state.apply(&record);
                Ok(())
            }
            Err(PublishError::Conflict { .. }) => Err(AppendError::Fenced(self.turn)),
            Err(other) => Err(other.into()),
        }
    }
}
