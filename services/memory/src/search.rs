//! Finds in a scope what fits a question, by its words and, with a model, by its
//! meaning.

use std::sync::Arc;
use std::time::Duration;

use embed::Embedder;
use recall::Embedding;
use tracing::warn;

use crate::indexes::{Found, Indexes};
use crate::ports::MemoryError;
use crate::scope::Scope;

/// How long the model may take for a question; then words alone must do.
const EMBEDDING: Duration = Duration::from_secs(2);
/// Longest part of a question that is searched by, in bytes.
const QUERY_BYTES: usize = 8 * 1024;

pub(crate) struct Search {
    pub(crate) indexes: Indexes,
    pub(crate) model: Option<Arc<dyn Embedder>>,
}

/// A question with what the model makes of it, made once for all that is searched.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) text: String,
    /// None without a model, or when it was too slow.
    pub(crate) embedding: Option<Embedding>,
}

impl Search {
    /// A question as it is searched by: cut to what is read of it.
    pub(crate) async fn ask(&self, query: &str) -> Asked {
        let text = query[..query.floor_char_boundary(QUERY_BYTES)].trim().to_owned();
        let embedding = if text.is_empty() { None } else { self.embed(&text).await };
        Asked { text, embedding }
    }

    /// Best first; nothing for an empty question.
    pub(crate) async fn find(&self, scope: &Scope, asked: &Asked, limit: usize) -> Result<Vec<Found>, MemoryError> {
        if asked.text.is_empty() {
            return Ok(Vec::new());
        }
        self.indexes.search(scope, asked.text.clone(), asked.embedding.clone(), limit).await
    }

    async fn embed(&self, text: &str) -> Option<Embedding> {
        let model = self.model.as_ref()?;
        match tokio::time::timeout(EMBEDDING, model.embed(vec![text.to_owned()])).await {
            Ok(Ok(mut vectors)) => vectors.pop(),
            Ok(Err(err)) => {
                warn!(error = %err, "searching by words alone");
                None
            }
            Err(_) => {
                warn!("the embedding model is slow; searching by words alone");
                None
            }
        }
    }

    /// The name of the model; empty without one.
    pub(crate) fn model_name(&self) -> &str {
        self.model.as_ref().map_or("", |model| model.model())
    }
}
