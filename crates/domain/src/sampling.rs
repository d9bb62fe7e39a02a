//! Words that an MCP server wants of Clara's model, in the middle of a call.

use std::time::Duration;

use crate::ids::ConversationId;
use crate::message::Principal;

/// Longest answer that a server gets, in tokens.
pub const ANSWER_TOKENS: u32 = 2000;
/// All that a server may ask with, in bytes.
pub const ASKED_BYTES: usize = 200_000;

/// How long the model may take. Nobody waits longer, and nothing is paid for that nobody
/// waits for.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Who said something to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    User,
    Assistant,
}

/// What a server asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Whose call it is for: theirs is the budget.
    pub principal: Principal,
    pub conversation: ConversationId,
    /// By what it is known: the same again is reserved in the place of the one before.
    pub id: String,
    pub system: String,
    pub messages: Vec<(Voice, String)>,
    pub max_tokens: u32,
}

/// What the model said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sampled {
    pub text: String,
    pub model: String,
    /// Cut at the length limit.
    pub is_cut: bool,
}
