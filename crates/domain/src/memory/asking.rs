//! What is asked of the facts of a person, and answered.

use super::{Count, Fact, FactChange, Intention, Passage, Searched};
use crate::ids::{ConversationId, TurnId};
use crate::message::Principal;

/// What is done with facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactCommand {
    /// Stores under `id`: the same id twice is one fact.
    Remember {
        id: String,
        text: String,
        is_key: bool,
        /// Empty: the project of the conversation that asks, if one does.
        project: String,
    },
    Search {
        query: String,
        limit: u32,
    },
    /// Newest first, those before `before` if it names one.
    List {
        limit: u32,
        before: Option<String>,
        /// Of one project alone; empty: of all.
        project: String,
    },
    /// One fact with its changes, and what was said that it comes from.
    Show {
        id: String,
    },
    Edit {
        id: String,
        text: String,
    },
    /// What does not change is `None`.
    Mark {
        id: String,
        is_key: Option<bool>,
        is_public: Option<bool>,
        /// Empty: the person's own from now on.
        project: Option<String>,
    },
    /// Takes back the newest edit, merge or supersession, within 30 days.
    Undo {
        id: String,
    },
    /// Erases by id, or everything that matches the words, with what it came from.
    Forget {
        which: String,
    },
    /// Erases everything of the person.
    Clear,
    /// Learns from a text: says what it would store, and stores it if asked to.
    Learn {
        text: String,
        apply: bool,
    },
    /// Stores facts as they are, unless they are known.
    Import {
        facts: Vec<Fact>,
    },
    Stats,
    /// Stores under the intention's id: the same id twice is one.
    Intend {
        intention: Intention,
    },
    /// The reminders that wait.
    Intentions,
    Dismiss {
        id: String,
    },
    /// What is said in a conversation from now on belongs to this project of the person;
    /// empty: to none.
    Enter {
        conversation: ConversationId,
        project: String,
    },
    /// The person's projects, each with the number of its memories, and that of a
    /// conversation.
    Projects {
        conversation: Option<ConversationId>,
    },
    /// Makes all vectors anew, in the background.
    Reindex,
    /// One memory with another account, such as `discord-123`, once that has asked for the same.
    Link {
        account: String,
    },
    /// A memory of its own again, from now on.
    Unlink,
    /// The accounts that have one memory.
    Links,
}

/// A turn that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking {
    pub conversation: ConversationId,
    pub turn: TurnId,
    /// The turn of the same conversation that it goes on from, if it does: that one said
    /// what is asked.
    pub after: Option<TurnId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactRequest {
    pub principal: Principal,
    /// The turn that asks, if one does.
    pub asking: Option<Asking>,
    pub command: FactCommand,
}

/// What came of a [`FactRequest`]; what was not asked for is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactAnswer {
    /// Stored, found, or forgotten.
    pub facts: Vec<Fact>,
    /// Oldest first.
    pub changes: Vec<FactChange>,
    /// What was said that a fact comes from.
    pub sources: Vec<Passage>,
    /// Every store that was searched for what was erased.
    pub proof: Vec<Searched>,
    pub counts: Vec<Count>,
    pub intentions: Vec<Intention>,
    /// The accounts of the person.
    pub accounts: Vec<String>,
    /// The project of the conversation; empty for none.
    pub project: String,
}
