//! What is remembered of a person, and what a turn asks for.

use crate::ids::{ConversationId, TurnId};
use crate::message::{Audience, Principal};

/// Longest fact, in bytes.
pub const FACT_BYTES: usize = 4096;
/// Most facts that one answer of the memory service holds.
pub const FACTS: usize = 200;
/// Most passages that one answer of the memory service holds.
pub const PASSAGES: usize = 100;
/// Longest part of a passage that is given, in bytes.
pub const PASSAGE_BYTES: usize = 2048;

/// One thing that a person wanted remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub id: String,
    pub text: String,
    pub created_at_ms: i64,
}

/// One message of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryMessage {
    pub role: Role,
    /// Who said it, for conversations of several people.
    pub name: String,
    pub text: String,
    pub at_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    User,
    Assistant,
}

/// What a turn wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecallRequest {
    pub conversation: ConversationId,
    pub principal: Principal,
    pub audience: Audience,
    pub generation: u32,
    /// The turn whose exchange must be in the history already.
    pub previous: Option<TurnId>,
    pub query: String,
    pub history_limit: u32,
    pub fact_limit: u32,
    pub passage_limit: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recalled {
    /// Oldest first.
    pub history: Vec<HistoryMessage>,
    /// Best match first.
    pub facts: Vec<Fact>,
    /// What was said before the history, best match first.
    pub passages: Vec<Passage>,
}

/// Something that was said in an earlier conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The message, as `<conversation>/<message>` or `turn:<turn>` for a reply.
    pub id: String,
    /// The name of whoever said it.
    pub speaker: String,
    pub text: String,
    pub at_ms: i64,
}

/// Asks for what was said: in the person's own direct conversations, or in one
/// group's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassageRequest {
    pub principal: Principal,
    /// The group whose talk is searched; `None`: the person's own conversations.
    pub group: Option<ConversationId>,
    pub query: String,
    pub limit: u32,
}

/// What is done with facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactCommand {
    /// Stores under `id`: the same id twice is one fact.
    Remember {
        id: String,
        text: String,
    },
    Search {
        query: String,
        limit: u32,
    },
    List {
        limit: u32,
    },
    /// Forgets by id, or everything that matches the words.
    Forget {
        which: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactRequest {
    pub principal: Principal,
    pub command: FactCommand,
}

/// Words too common to search by.
const STOP_WORDS: &[&str] = &[
    "a", "about", "am", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "clara", "could", "did",
    "do", "does", "for", "from", "had", "has", "have", "how", "i", "in", "is", "it", "its", "know", "me", "my", "of",
    "on", "or", "please", "remember", "s", "so", "tell", "that", "the", "their", "them", "then", "there", "they",
    "this", "to", "was", "we", "what", "when", "where", "which", "who", "why", "will", "with", "would", "you", "your",
];

/// Most words of a query that are searched.
const QUERY_WORDS: usize = 32;

/// The words of a text worth searching by: lower-case, each once, at most 32.
pub fn search_words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        let word = word.to_lowercase();
        if !word.is_empty() && !STOP_WORDS.contains(&word.as_str()) && !words.contains(&word) {
            words.push(word);
        }
        if words.len() == QUERY_WORDS {
            break;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_words_drop_the_common_ones() {
        assert_eq!(search_words("What is my Lucky number, the LUCKY one?"), ["lucky", "number", "one"]);
        assert_eq!(search_words("\" OR 1=1 -- *"), ["1"]);
        assert!(search_words("what is it?").is_empty());
        assert_eq!(search_words(&(0..99).map(|n| format!("w{n} ")).collect::<String>()).len(), 32);
    }
}
