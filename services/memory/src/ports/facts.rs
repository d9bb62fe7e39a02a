//! Facts: how they are found, changed, learnt and erased.

use async_trait::async_trait;
use domain::ids::{ConversationId, FileId, TurnId};
use domain::memory::{Asking, Count, Fact, FactChange, Passage, Searched};
use learn::relation::Relation;
use learn::strength::Strength;

use super::MemoryError;

/// A fact with how strong it is.
pub(crate) struct Remembered {
    pub fact: Fact,
    pub strength: Strength,
    /// When the strength was found out.
    pub graded_at_ms: i64,
}

/// What happens to facts of one person. Applied together, or not at all.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    Add {
        fact: Fact,
        /// The messages it comes from.
        sources: Vec<String>,
    },
    /// Another text, by an edit or a merge.
    Rewrite {
        id: String,
        text: String,
        event: &'static str,
        sources: Vec<String>,
    },
    /// It was said again.
    Cite {
        id: String,
        sources: Vec<String>,
    },
    /// No longer true, because of another.
    Supersede {
        old: String,
        by: String,
        reason: &'static str,
    },
    Mark {
        id: String,
        is_key: Option<bool>,
        is_public: Option<bool>,
        project: Option<String>,
    },
    Strengthen {
        id: String,
        strength: Strength,
    },
}

/// What a turn said that nothing was learnt from yet.
pub(crate) struct Unlearnt {
    pub turn: TurnId,
    /// How often it was tried before.
    pub tries: u32,
    pub said: Vec<SaidBy>,
}

/// A message of a person.
pub(crate) struct SaidBy {
    pub id: String,
    pub user: String,
    /// None: it came from another system.
    pub conversation: Option<ConversationId>,
    pub text: String,
    pub at_ms: i64,
    /// The project that it was said in; empty for none.
    pub project: String,
}

/// A file of a conversation; none named: all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileOf {
    pub conversation: ConversationId,
    pub file: Option<FileId>,
}

/// What was erased.
#[derive(Default)]
pub(crate) struct Erased {
    /// Whose it was.
    pub person: String,
    pub facts: Vec<Fact>,
    /// The ids of facts and messages, by which other stores know them.
    pub ids: Vec<String>,
    /// The turns whose messages went with them.
    pub turns: Vec<(ConversationId, TurnId)>,
    /// The conversations of which everything goes, whatever it is: the person's own.
    pub conversations: Vec<ConversationId>,
    /// The files that came with them, and with nothing that stays.
    pub files: Vec<FileOf>,
    /// Later turns whose prompts may hold what was erased: their journals go when they
    /// have surely ended.
    pub prompts: u64,
    /// Texts that no store may hold any more.
    pub texts: Vec<String>,
}

/// Shortest text that is looked for in everything that was said, in bytes.
const LOOKED_FOR: usize = 8;

/// Whether an erased text is looked for in everything that was said: a shorter one, or a single
/// word, stands in what has nothing to do with it.
pub(crate) fn is_looked_for(text: &str) -> bool {
    text.len() >= LOOKED_FOR && text.contains(' ')
}

/// A journal that is to be purged.
pub(crate) struct Unpurged {
    pub conversation: ConversationId,
    pub turn: TurnId,
    /// Whether the turn itself was erased; else its prompt may hold what was.
    pub is_erased: bool,
}

/// What is to be erased.
pub(crate) enum Erasure<'a> {
    Facts(&'a [String]),
    Everything,
}

/// What is remembered of people. Nobody sees or changes what is another's.
#[async_trait]
pub(crate) trait Facts: Send + Sync {
    /// Newest first, those before another if it is named; of one project, or of all.
    async fn list(&self, user: &str, before: Option<&str>, project: &str, limit: u32)
    -> Result<Vec<Fact>, MemoryError>;
    /// Those that stand in every prompt, newest first.
    async fn keys(&self, user: &str, limit: u32) -> Result<Vec<Fact>, MemoryError>;
    /// In no order; what is superseded is left out.
    async fn find(&self, user: &str, ids: &[String]) -> Result<Vec<Remembered>, MemoryError>;
    /// The newest relations that facts of the person and of this project name; of what is
    /// public alone if asked.
    async fn relations(
        &self,
        user: &str,
        only_public: bool,
        project: &str,
        limit: u32,
    ) -> Result<Vec<Relation>, MemoryError>;
    /// The same of these facts alone.
    async fn relations_of(
        &self,
        user: &str,
        only_public: bool,
        project: &str,
        ids: &[String],
    ) -> Result<Vec<Relation>, MemoryError>;
    /// Applies changes, and notes that a turn was learnt from.
    async fn change(
        &self,
        user: &str,
        actor: &str,
        at_ms: i64,
        changes: &[Change],
        learnt: Option<TurnId>,
    ) -> Result<(), MemoryError>;
    /// A fact, superseded or not, with its changes and what was said that it comes from.
    async fn story(&self, user: &str, id: &str) -> Result<Option<(Fact, Vec<FactChange>, Vec<Passage>)>, MemoryError>;
    /// Takes the newest change since a time back, and gives the fact as it is then.
    async fn undo(&self, user: &str, id: &str, since_ms: i64, at_ms: i64) -> Result<Option<Fact>, MemoryError>;
    async fn counts(&self, user: &str) -> Result<Vec<Count>, MemoryError>;
    /// Drops the vectors of a person's facts and messages, so that they are made anew.
    async fn reindex(&self, user: &str) -> Result<(), MemoryError>;
    /// Erases facts with what they come from, or all of a person; and the turn that
    /// asked for it, which says once more what is to be forgotten.
    async fn erase(
        &self,
        user: &str,
        what: Erasure<'_>,
        asking: Option<&Asking>,
        at_ms: i64,
    ) -> Result<Erased, MemoryError>;
    /// Turns that were erased before a time, or whose prompts hold what was, and that were not
    /// taken off the bus yet: a turn may be there as both.
    async fn unpurged(&self, before_ms: i64, limit: u32) -> Result<Vec<Unpurged>, MemoryError>;
    /// Counts from this time on when a journal is to be purged, whose turn has not ended.
    async fn postpone_purge(&self, turn: TurnId, at_ms: i64) -> Result<(), MemoryError>;
    /// Notes that what is due of a turn is off the bus: its prompts, and all of it if it `is_erased`.
    async fn note_purged(&self, turn: TurnId, is_erased: bool) -> Result<(), MemoryError>;
    /// Files of what was erased that were not purged yet.
    async fn unpurged_files(&self, limit: u32) -> Result<Vec<FileOf>, MemoryError>;
    async fn note_file_purged(&self, of: &FileOf) -> Result<(), MemoryError>;
    /// How often each store holds any of these texts of a person.
    async fn search_everywhere(&self, user: &str, texts: &[String]) -> Result<Vec<Searched>, MemoryError>;
    /// The oldest turn that nothing was learnt from, for this replica alone until then.
    async fn claim(&self, replica: &str, now_ms: i64, until_ms: i64) -> Result<Option<Unlearnt>, MemoryError>;
}
