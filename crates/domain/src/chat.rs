//! What models read and write, whichever vendor serves them.

/// One call that a model asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ToolCall {
    /// The vendor's id, which the result must name again.
    pub vendor_id: String,
    pub name: String,
    /// JSON text as the model wrote it. It may be malformed: that is answered,
    /// not trusted.
    pub arguments: String,
}

/// One message of a chat, in the order the model reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatMessage {
    User { text: String },
    Assistant { text: String, calls: Vec<ToolCall>, signatures: Vec<String> },
    ToolResult { vendor_id: String, text: String },
}

impl ChatMessage {
    pub fn user(text: impl Into<String>) -> Self {
        Self::User { text: text.into() }
    }

    pub fn assistant(text: impl Into<String>) -> Self {
        Self::Assistant { text: text.into(), calls: Vec::new(), signatures: Vec::new() }
    }

    /// The words in it, which is what counting tokens needs.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::User { text } | Self::ToolResult { text, .. } => vec![text],
            Self::Assistant { text, calls, .. } => {
                let mut texts = vec![text.as_str()];
                texts.extend(calls.iter().flat_map(|call| [call.name.as_str(), call.arguments.as_str()]));
                texts
            }
        }
    }
}

/// Tokens as the vendor counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cached_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(other.cached_tokens);
    }
}

/// A model's complete answer to one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub text: String,
    pub calls: Vec<ToolCall>,
    /// Opaque proofs of reasoning that some vendors want back unchanged.
    pub signatures: Vec<String>,
    pub usage: Usage,
    pub ending: Ending,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ending {
    #[default]
    Complete,
    /// Cut at the length limit.
    Cut,
    /// Held back by the vendor's filter.
    Filtered,
}
