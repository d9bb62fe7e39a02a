//! Sessions as people ask for them: what was said in one go, with its title and what it
//! was about, put away or not.

use crate::memory::HistoryMessage;
use crate::message::Principal;

/// Most sessions of one answer.
pub const SESSIONS: u32 = 100;
/// Most messages of one answer.
pub const MESSAGES: u32 = 200;
/// Longest title, in bytes.
pub const TITLE_BYTES: usize = 200;

/// What was said in one go, in a direct conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: String,
    /// Empty while it has none.
    pub title: String,
    /// What it was about; empty while nobody has said.
    pub summary: String,
    /// Empty: of none.
    pub project: String,
    pub started_at_ms: i64,
    pub last_activity_at_ms: i64,
    pub messages: u64,
    /// Whether it was put away: what was said in it is found when it is searched for, and
    /// stands in no prompt as history.
    pub is_archived: bool,
}

/// What is asked of sessions; each is about the principal's own direct conversations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionCommand {
    /// The newest first, those before another if it is named.
    List {
        archived: bool,
        before: Option<String>,
        limit: u32,
    },
    /// One with what was said in it: the newest messages, oldest first, those before so
    /// many of the newest. There may be fewer than asked for: none means that there are no more.
    Show {
        id: String,
        skip: u32,
        limit: u32,
    },
    Rename {
        id: String,
        title: String,
    },
    /// Puts it away, or takes it back.
    Archive {
        id: String,
        is_archived: bool,
    },
}

/// Whose sessions, and what of them. What it cannot be is refused in words: a session that
/// is not there, a title that is empty or too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRequest {
    pub principal: Principal,
    pub command: SessionCommand,
}

/// What came of a [`SessionRequest`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionAnswer {
    pub sessions: Vec<Session>,
    pub messages: Vec<HistoryMessage>,
}
