//! What is known here of a turn, and not stored yet.
//!
//! Entries are gathered and stored by one append just before something depends
//! on them. A fenced append means that somebody else wrote: facts that were
//! found out here (an answer, a result) are kept, decisions are made anew.

use bus::{AppendError, Journal, JournalStore};
use domain::ids::ConversationId;
use domain::journal::{Entry, Record, TurnState};
use service_kit::clock::now_ms;
use service_kit::crash::{CrashPoint, crash_point};

const BUILD: &str = env!("CARGO_PKG_VERSION");

/// How storing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// What was gathered is durable.
    Yes,
    /// Somebody else wrote, and the turn is still ours: decide anew.
    Changed,
    /// Another owns the turn, and works from this item: fall silent.
    Lost { item: u64 },
}

pub(crate) struct Draft {
    store: JournalStore,
    conversation: ConversationId,
    journal: Journal,
    /// The work item that this replica works from.
    item: u64,
    gathered: Vec<Entry>,
    /// The journal's state with what is gathered, while something is: a turn that
    /// waits for its model holds one state, not two.
    ahead: Option<TurnState>,
    /// Our claim; 0 until it is stored.
    epoch: u32,
}

impl Draft {
    pub(crate) fn new(store: JournalStore, conversation: ConversationId, journal: Journal, item: u64) -> Self {
        Self { store, conversation, journal, item, gathered: Vec::new(), ahead: None, epoch: 0 }
    }

    pub(crate) fn state(&self) -> &TurnState {
        self.ahead.as_ref().unwrap_or(self.journal.state())
    }

    /// The epoch that this replica writes under.
    pub(crate) fn epoch(&self) -> u32 {
        if self.epoch == 0 { self.journal.state().epoch + 1 } else { self.epoch }
    }

    pub(crate) fn gather(&mut self, entries: impl IntoIterator<Item = Entry>) {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let ahead = self.ahead.get_or_insert_with(|| self.journal.state().clone());
        ahead.apply(&Record { epoch: ahead.epoch, at_ms: 0, entries: entries.clone() });
        self.gathered.extend(entries);
    }

    /// Whether something waits to be stored that others may depend on; facts
    /// alone can wait for the next decision.
    pub(crate) fn holds_decisions(&self) -> bool {
        self.epoch == 0 || self.gathered.iter().any(|entry| !is_fact(entry))
    }

    /// How much of what tools gave waits to be stored, in bytes.
    pub(crate) fn gathered_bytes(&self) -> usize {
        let of = |entry: &Entry| match entry {
            Entry::ToolFinished { outcome, .. } => outcome.text.len(),
            _ => 0,
        };
        self.gathered.iter().map(of).sum()
    }

    /// Stores what was gathered, with the claim if there is none yet.
    pub(crate) async fn store(&mut self) -> Result<Stored, AppendError> {
        let claiming = self.epoch == 0;
        if !claiming && self.gathered.is_empty() {
            return Ok(Stored::Yes);
        }
        let appended = if claiming {
            self.journal.claim(BUILD, self.item, self.gathered.clone(), now_ms()).await
        } else {
            self.journal.append(self.gathered.clone(), now_ms()).await
        };
        match appended {
            Ok(()) => {
                if claiming {
                    crash_point(CrashPoint::Claimed);
                }
                if self.gathered.iter().any(|entry| matches!(entry, Entry::ModelAnswered { .. })) {
                    crash_point(CrashPoint::ModelAnswered);
                }
                self.gathered = Vec::new();
                self.ahead = None;
                self.epoch = self.journal.state().epoch;
                Ok(Stored::Yes)
            }
            Err(AppendError::Fenced(_)) => self.refresh().await,
            Err(other) => Err(other),
        }
    }

    /// Reads what others wrote, and keeps the facts found out here.
    pub(crate) async fn refresh(&mut self) -> Result<Stored, AppendError> {
        self.journal.refresh(&self.store, &self.conversation).await?;
        if self.epoch != 0 && self.journal.state().epoch != self.epoch {
            return Ok(Stored::Lost { item: self.journal.state().item });
        }
        self.ahead = None;
        let gathered = std::mem::take(&mut self.gathered);
        // Not claimed yet: what the turn begins with is gathered anew, whole.
        if self.epoch != 0 {
            self.gather(gathered.into_iter().filter(is_fact));
        }
        Ok(Stored::Changed)
    }
}

/// Whether an entry says what happened, rather than what is to happen.
fn is_fact(entry: &Entry) -> bool {
    match entry {
        Entry::ModelAnswered { .. } | Entry::ModelFailed { .. } | Entry::ToolFinished { .. } => true,
        Entry::Claimed { .. }
        | Entry::ContextFixed(_)
        | Entry::StepStarted { .. }
        | Entry::ToolIntended { .. }
        | Entry::ToolsEnded { .. }
        | Entry::StopRequested { .. }
        | Entry::Injected { .. }
        | Entry::Interrupted { .. }
        | Entry::ReplyReady(_)
        | Entry::Finished => false,
    }
}
