//! What is remembered of a person, and what a turn asks for.

mod asking; // What is asked of the facts of a person, and answered.
mod line; // A memory as a line of JSON.

use crate::attachment::Attachment;
use crate::ids::{ConversationId, TurnId};
use crate::message::{Audience, Principal};

pub use asking::{Asking, FactAnswer, FactCommand, FactRequest};
pub use line::{from_line, to_line};

/// Longest fact, in bytes.
pub const FACT_BYTES: usize = 4096;
/// Most facts that one answer of the memory service holds.
pub const FACTS: usize = 200;
/// Most passages that one answer of the memory service holds.
pub const PASSAGES: usize = 100;
/// Longest part of a passage that is given, in bytes.
pub const PASSAGE_BYTES: usize = 2048;

/// Longest name of a project, in bytes.
pub const PROJECT_BYTES: usize = 80;

/// A project's name as it is known: one line, in lower case; empty for none.
pub fn project_name(name: &str) -> Result<String, String> {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    if name.len() > PROJECT_BYTES || name.chars().any(char::is_control) {
        return Err(format!("a project's name has at most {PROJECT_BYTES} bytes, without control characters"));
    }
    Ok(name)
}

/// One thing that is remembered of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub id: String,
    pub text: String,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    /// `preferences`, `personal`, `professional`, `goals`, `emotional`, `temporal`, or empty.
    pub category: String,
    /// Whether it stands in every prompt.
    pub is_key: bool,
    /// Whether groups may see it.
    pub is_public: bool,
    pub origin: FactOrigin,
    /// The project that it belongs to; empty: to the person, wherever they speak.
    pub project: String,
    /// How sure it is, in per cent.
    pub confidence: u32,
}

impl Fact {
    /// What a person asked to be remembered: private, and sure.
    pub fn asked(id: impl Into<String>, text: impl Into<String>, at_ms: i64) -> Self {
        Self {
            id: id.into(),
            text: text.into(),
            created_at_ms: at_ms,
            updated_at_ms: at_ms,
            category: String::new(),
            is_key: false,
            is_public: false,
            origin: FactOrigin::Asked,
            project: String::new(),
            confidence: 100,
        }
    }
}

/// How a fact came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactOrigin {
    /// The person asked for it.
    Asked,
    /// It was said in a conversation.
    Learnt,
    /// It was read from a file.
    Imported,
}

impl FactOrigin {
    pub fn as_str(self) -> &'static str {
        match self {
            FactOrigin::Asked => "asked",
            FactOrigin::Learnt => "learnt",
            FactOrigin::Imported => "imported",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [FactOrigin::Asked, FactOrigin::Learnt, FactOrigin::Imported].into_iter().find(|origin| origin.as_str() == text)
    }
}

/// One change of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactChange {
    pub at_ms: i64,
    /// `ADD`, `UPDATE`, `MERGE`, `SUPERSEDE` or `UNDO`.
    pub event: String,
    /// Empty for a fact that was added.
    pub old: String,
    pub new: String,
    /// Who did it: a person, or `clara`.
    pub actor: String,
    /// Why, where something decided: the layer of a contradiction, for example.
    pub reason: String,
}

/// How often a store holds what was erased: the proof of an erasure is zero everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Searched {
    pub store: String,
    pub found: u64,
}

/// Something that a person wants to be reminded of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intention {
    pub id: String,
    pub content: String,
    /// When it fires, as JSON: `{"type": "keyword", "keywords": ["rome"]}`.
    pub trigger: String,
    /// Higher comes first.
    pub priority: i32,
    pub fires_once: bool,
    /// 0: never.
    pub expires_at_ms: i64,
}

/// A reminder that fired for a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reminder {
    pub id: String,
    pub content: String,
}

/// A number with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    pub name: String,
    pub value: u64,
}

/// One message of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryMessage {
    pub role: Role,
    /// Who said it, for conversations of several people.
    pub name: String,
    pub text: String,
    pub attachments: Vec<Attachment>,
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
    /// What the platform calls the place.
    pub channel: String,
    pub principal: Principal,
    pub audience: Audience,
    pub generation: u32,
    /// The turn whose exchange must be in the history already.
    pub previous: Option<TurnId>,
    pub query: String,
    pub history_limit: u32,
    pub fact_limit: u32,
    pub relation_limit: u32,
    pub passage_limit: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recalled {
    /// Oldest first.
    pub history: Vec<HistoryMessage>,
    /// Best match first.
    pub facts: Vec<Fact>,
    /// Lines such as "user — sister — Ida", best match first.
    pub relations: Vec<String>,
    /// How the person felt lately, one line a conversation, newest first.
    pub moods: Vec<String>,
    /// What the person comes back to, one line a topic.
    pub topics: Vec<String>,
    /// What sessions before the history were about, oldest first.
    pub summaries: Vec<String>,
    /// What the person wants to be reminded of now.
    pub reminders: Vec<Reminder>,
    /// What was said before the history, best match first.
    pub passages: Vec<Passage>,
    /// Whether a store or a model was away, so that less was found than could be.
    pub degraded: bool,
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

/// Texts that are to be compared with questions by their meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    pub questions: Vec<String>,
    pub texts: Vec<String>,
}

/// Most questions and texts of one comparison.
pub const QUESTIONS: usize = 4;
pub const COMPARED: usize = 1000;

/// For each question, how similar each text is to it, from −1 to 1; `None` where that is not
/// known yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Similarities(pub Vec<Vec<Option<f32>>>);

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
