//! From texts to vectors: one port, and the models behind it.
//!
//! The only user of candle and tokenizers; endpoints are asked through genai. What vectors are compared for is
//! `recall`'s business.

mod bert; // A model in a folder.
mod endpoint; // A model that somebody serves.

use async_trait::async_trait;
pub use bert::Bert;
pub use endpoint::Endpoint;
use recall::Embedding;

/// Most texts of one call.
pub const TEXTS: usize = 64;

/// Why texts were not embedded.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    #[error("the embedding model in {folder} cannot be used: {why}")]
    Open { folder: String, why: String },
    #[error("the embedding model failed: {0}")]
    Failed(String),
    /// One of the texts is none that the model takes.
    #[error("the embedding model does not take a text: {0}")]
    Rejected(String),
}

/// A model that makes vectors of texts.
#[async_trait]
pub trait Embedder: Send + Sync {
    /// Names the model: vectors of different names cannot be compared.
    fn model(&self) -> &str;

    /// The vectors of each text, in order; of the first [`TEXTS`]. What is too long
    /// for the model is cut at its end.
    async fn embed(&self, texts: Vec<String>) -> Result<Vec<Embedding>, EmbedError>;
}
