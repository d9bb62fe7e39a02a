//! What the service needs from a database.

use async_trait::async_trait;
use domain::ids::{ConversationId, FileId, TurnId};
use domain::memory::{Count, Fact, FactChange, HistoryMessage, Intention, Passage, RecallRequest, Searched};
use domain::session::Session;
use learn::mood::Mood;
use learn::relation::Relation;
use learn::strength::Strength;
use learn::summary::Summary;
use recall::Embedding;

use crate::projection::TurnRows;
use crate::scope::Scope;

/// Why the database did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the memory database did not answer")]
pub(crate) struct MemoryError(#[from] pub(crate) store::StoreError);

/// Sessions and messages. Every write is idempotent by its ids.
#[async_trait]
pub(crate) trait Memory: Send + Sync {
    /// Stores the messages of a turn, in the session they belong to.
    async fn store_turn(&self, rows: &TurnRows) -> Result<(), MemoryError>;
    /// Whether the reply of a turn is in the history.
    async fn has_reply(&self, turn: TurnId) -> Result<bool, MemoryError>;
    /// The newest messages, oldest first.
    async fn history(&self, request: &RecallRequest) -> Result<Vec<HistoryMessage>, MemoryError>;
}

/// How much of a scope has changed so far: whoever holds an index compares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub said: i64,
    pub embedded: i64,
    pub erased: i64,
}

/// A passage with its place in the order of all.
pub(crate) struct Stored {
    pub position: i64,
    pub passage: recall::Passage,
}

/// A passage, or a fact, that has no vectors of the model in use.
pub(crate) struct Unembedded {
    pub id: String,
    pub scope: Scope,
    pub speaker: String,
    pub text: String,
    /// What was said before it in the same session, and by whom.
    pub before: Option<(String, String)>,
}

/// What was said, for searching.
#[async_trait]
pub(crate) trait Passages: Send + Sync {
    async fn changes(&self, scope: &Scope) -> Result<Changes, MemoryError>;
    /// What was said after a place (its position and id), in order, with vectors of this
    /// model; so many at most.
    async fn after(
        &self,
        scope: &Scope,
        place: (i64, &str),
        model: &str,
        limit: u32,
    ) -> Result<Vec<Stored>, MemoryError>;
    /// Whether a person may see what was said there.
    async fn is_participant(&self, scope: &Scope, user: &str) -> Result<bool, MemoryError>;
    /// Queues everything that has no vectors of this model.
    async fn embed_all(&self, model: &str) -> Result<(), MemoryError>;
    /// What was said, the newest first; then what is remembered.
    async fn unembedded(&self, model: &str, limit: u32) -> Result<Vec<Unembedded>, MemoryError>;
    async fn count_unembedded(&self) -> Result<u64, MemoryError>;
    async fn store_vectors(&self, model: &str, of: &Unembedded, vectors: &Embedding) -> Result<(), MemoryError>;
}

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
    pub text: String,
    pub at_ms: i64,
    /// The project that it was said in; empty for none.
    pub project: String,
}

/// A session with what was said in it since its last summary.
pub(crate) struct Unsummarised {
    pub session: String,
    /// Its summary so far; empty if there is none.
    pub before: String,
    /// Everything that the person said in it, oldest first; nothing for a group.
    pub own: Vec<String>,
    /// Whether it was her, who it was, and what.
    pub said: Vec<(bool, String, String)>,
    /// The position of the newest of them.
    pub to: i64,
    /// How many of those that were counted it covers.
    pub messages: i64,
    /// How often it was tried before.
    pub tries: u32,
    /// The end of the lease, by which it is known again.
    pub until_ms: i64,
}

/// What sessions were about.
#[async_trait]
pub(crate) trait Summaries: Send + Sync {
    /// The session that is due longest, for this replica alone until then.
    async fn claim_session(&self, now_ms: i64, until_ms: i64) -> Result<Option<Unsummarised>, MemoryError>;
    /// Stores a summary, if there was anything to say, with how it felt to the person.
    async fn store_summary(
        &self,
        of: &Unsummarised,
        summary: Option<&Summary>,
        mood: Option<Mood>,
    ) -> Result<(), MemoryError>;
    /// The newest summaries of a conversation's sessions that began before a time,
    /// oldest first.
    async fn summaries(&self, request: &RecallRequest, before_ms: i64) -> Result<Vec<String>, MemoryError>;
}

/// How a session felt to a person.
pub(crate) struct Felt {
    pub at_ms: i64,
    /// The session's; empty if it has none.
    pub title: String,
    pub mood: Mood,
}

/// How a person felt lately, and what comes up again and again.
#[async_trait]
pub(crate) trait Moods: Send + Sync {
    /// The newest sessions that are over, newest first.
    async fn felt(&self, user: &str, now_ms: i64) -> Result<Vec<Felt>, MemoryError>;
    /// Topics of several sessions, each with their number, what matters most first.
    async fn recurring(&self, user: &str, now_ms: i64) -> Result<Vec<(String, u64)>, MemoryError>;
}

/// What came of a wish to be one person with another account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linking {
    /// The other side is to agree.
    Asked,
    Linked,
}

/// What an account has when it has parted from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unlinking {
    /// There were none.
    Alone,
    /// Everything: the others begin anew.
    Kept,
    /// Nothing yet: the others have what there was.
    Left,
}

/// One person, several accounts, one memory.
#[async_trait]
pub(crate) trait People: Send + Sync {
    /// Whose memory an account has: its own, unless it was linked.
    async fn person(&self, account: &str) -> Result<String, MemoryError>;
    /// All accounts of an account's person.
    async fn accounts(&self, account: &str) -> Result<Vec<String>, MemoryError>;
    /// Joins two persons when the other account has asked for the same within an hour.
    async fn link(&self, account: &str, wanted: &str, at_ms: i64) -> Result<Linking, MemoryError>;
    /// Parts an account from the others. What is remembered stays with one side.
    async fn unlink(&self, account: &str) -> Result<Unlinking, MemoryError>;
}

/// What people want to be reminded of.
#[async_trait]
pub(crate) trait Intentions: Send + Sync {
    /// Stores one; not when too many wait already.
    async fn intend(&self, user: &str, intention: &Intention, at_ms: i64) -> Result<bool, MemoryError>;
    /// Those that have not fired and are not over, what is most important first.
    async fn waiting(&self, user: &str, now_ms: i64) -> Result<Vec<Intention>, MemoryError>;
    /// Whether there was one.
    async fn dismiss(&self, user: &str, id: &str) -> Result<bool, MemoryError>;
}

/// Sessions of direct conversations. Nobody sees or changes another's.
#[async_trait]
pub(crate) trait Sessions: Send + Sync {
    /// Newest first, those before another if it is named.
    async fn list(
        &self,
        user: &str,
        archived: bool,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Session>, MemoryError>;
    async fn find(&self, user: &str, id: &str) -> Result<Option<Session>, MemoryError>;
    /// Oldest first, those before so many of the newest.
    async fn messages(&self, user: &str, id: &str, skip: u32, limit: u32) -> Result<Vec<HistoryMessage>, MemoryError>;
    async fn rename(&self, user: &str, id: &str, title: &str) -> Result<(), MemoryError>;
    /// Puts one away, or takes it back.
    async fn archive(&self, user: &str, id: &str, is_archived: bool) -> Result<(), MemoryError>;
}

/// What conversations are about, for a person who says so.
#[async_trait]
pub(crate) trait Projects: Send + Sync {
    /// From now on what is said there belongs to this project; empty: to none.
    async fn enter(
        &self,
        user: &str,
        conversation: &ConversationId,
        project: &str,
        at_ms: i64,
    ) -> Result<(), MemoryError>;
    /// The project of a conversation; empty for none.
    async fn project(&self, user: &str, conversation: &ConversationId) -> Result<String, MemoryError>;
    /// The person's projects with the number of their memories, by name.
    async fn projects(&self, user: &str) -> Result<Vec<Count>, MemoryError>;
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
    /// The files that came with them, and with nothing that stays.
    pub files: Vec<FileOf>,
    /// Texts that no store may hold any more.
    pub texts: Vec<String>,
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
        asking: Option<(&ConversationId, TurnId)>,
        at_ms: i64,
    ) -> Result<Erased, MemoryError>;
    /// Turns that were erased before a time, and whose journals were not purged yet.
    async fn unpurged(&self, before_ms: i64, limit: u32) -> Result<Vec<(ConversationId, TurnId)>, MemoryError>;
    async fn note_purged(&self, turn: TurnId) -> Result<(), MemoryError>;
    /// Files of what was erased that were not purged yet.
    async fn unpurged_files(&self, limit: u32) -> Result<Vec<FileOf>, MemoryError>;
    async fn note_file_purged(&self, of: &FileOf) -> Result<(), MemoryError>;
    /// How often each store holds any of these texts of a person.
    async fn search_everywhere(&self, user: &str, texts: &[String]) -> Result<Vec<Searched>, MemoryError>;
    /// The oldest turn that nothing was learnt from, for this replica alone until then.
    async fn claim(&self, replica: &str, now_ms: i64, until_ms: i64) -> Result<Option<Unlearnt>, MemoryError>;
}
