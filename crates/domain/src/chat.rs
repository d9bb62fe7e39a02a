//! What models read and write, whichever vendor serves them.

use std::sync::Arc;

use crate::attachment::Image;
use crate::decide::Tools;
use crate::tool::ToolSpec;

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
    User { text: String, images: Vec<Image> },
    Assistant { text: String, calls: Vec<ToolCall>, signatures: Vec<String> },
    ToolResult { vendor_id: String, text: String },
}

impl ChatMessage {
    /// Whether it is a call of a tool, or what that gave.
    pub fn is_of_a_step(&self) -> bool {
        match self {
            Self::Assistant { calls, .. } => !calls.is_empty(),
            Self::ToolResult { .. } => true,
            Self::User { .. } => false,
        }
    }

    pub fn user(text: impl Into<String>) -> Self {
        Self::User { text: text.into(), images: Vec::new() }
    }

    pub fn assistant(text: impl Into<String>) -> Self {
        Self::Assistant { text: text.into(), calls: Vec::new(), signatures: Vec::new() }
    }

    /// The images that it shows.
    pub fn images(&self) -> &[Image] {
        match self {
            Self::User { images, .. } => images,
            Self::Assistant { .. } | Self::ToolResult { .. } => &[],
        }
    }

    /// The words in it, which is what counting tokens needs.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::User { text, .. } | Self::ToolResult { text, .. } => vec![text],
            Self::Assistant { text, calls, .. } => {
                let mut texts = vec![text.as_str()];
                texts.extend(calls.iter().flat_map(|call| [call.name.as_str(), call.arguments.as_str()]));
                texts
            }
        }
    }
}

/// Everything one model call is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatRequest {
    /// The model's name at its provider.
    pub model: String,
    pub system: Arc<str>,
    /// Oldest first.
    pub messages: Vec<ChatMessage>,
    pub tools: Arc<[ToolSpec]>,
    pub tool_use: Tools,
    /// Longest answer, in tokens.
    pub max_tokens: u32,
}

impl ChatRequest {
    /// BLAKE3 over all of it, in hexadecimal. Fields are length-prefixed, so that
    /// no two requests hash alike by shifting text.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut field = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        field(&self.model);
        field(&self.max_tokens.to_string());
        field(&self.system);
        for message in &self.messages {
            match message {
                ChatMessage::User { text, images } => {
                    ["user", text].into_iter().for_each(&mut field);
                    for image in images {
                        ["image", image.conversation.as_str(), image.file.as_str()].into_iter().for_each(&mut field);
                    }
                }
                ChatMessage::Assistant { text, calls, signatures } => {
                    ["assistant", text].into_iter().for_each(&mut field);
                    for call in calls {
                        [&call.vendor_id, &call.name, &call.arguments].into_iter().for_each(|text| field(text));
                    }
                    signatures.iter().for_each(|text| field(text));
                }
                ChatMessage::ToolResult { vendor_id, text } => {
                    ["result", vendor_id, text].into_iter().for_each(&mut field);
                }
            }
        }
        field(if self.tool_use == Tools::Offered { "offered" } else { "withheld" });
        for tool in self.tools.iter() {
            [&tool.name, &tool.description, &tool.schema].into_iter().for_each(|text| field(text));
        }
        hasher.finalize().to_hex().to_string()
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
