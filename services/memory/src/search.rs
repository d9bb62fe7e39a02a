//! Finds in a scope what fits a question, by its words and, with a model, by its
//! meaning.

use std::sync::Arc;
use std::time::Duration;

use embed::{EmbedError, Embedder};
use recall::Embedding;
use service_kit::breaker::Breaker;
use service_kit::clock::now_ms;
use tracing::warn;

use crate::indexes::{Found, Indexes, Repetitions};
use crate::mirrors::VectorStore;
use crate::ports::MemoryError;
use crate::scope::Scope;

/// How long the model may take for a question; then words alone must do.
const EMBEDDING: Duration = Duration::from_secs(2);
/// How long a vector store may take; then words alone must do.
const NEAREST: Duration = Duration::from_secs(2);
/// The nearest that a vector store is asked for.
const NEAR: usize = 400;
/// Longest part of a question that is searched by, in bytes.
const QUERY_BYTES: usize = 8 * 1024;

pub(crate) struct Search {
    pub(crate) indexes: Indexes,
    pub(crate) model: Option<Arc<dyn Embedder>>,
    pub(crate) model_breaker: Breaker,
    /// Compares vectors; the indexes do without it.
    pub(crate) vectors: Option<Arc<dyn VectorStore>>,
    pub(crate) breaker: Breaker,
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
    pub(crate) async fn find(
        &self,
        scope: &Scope,
        asked: &Asked,
        wanted: (usize, Repetitions),
    ) -> Result<Vec<Found>, MemoryError> {
        if asked.text.is_empty() {
            return Ok(Vec::new());
        }
        let near = self.nearest(scope, asked).await;
        self.indexes.search(scope, asked, near, wanted).await
    }

    /// The nearest by another store's word; none without one, or while it is away.
    async fn nearest(&self, scope: &Scope, asked: &Asked) -> Option<Vec<(String, f32)>> {
        let (store, embedding) = (self.vectors.as_ref()?, asked.embedding.as_ref()?);
        if !self.breaker.allows(now_ms()) {
            return None;
        }
        let found = tokio::time::timeout(NEAREST, store.nearest(scope, &embedding.text, NEAR)).await;
        self.breaker.note(matches!(found, Ok(Ok(_))), now_ms());
        match found {
            Ok(Ok(near)) => Some(near),
            Ok(Err(err)) => {
                warn!(error = %err, "searching without vectors");
                None
            }
            Err(_) => {
                warn!(store = store.name(), "a vector store is slow; searching without vectors");
                None
            }
        }
    }

    /// Whether less is found than could be, because something is away.
    pub(crate) fn is_degraded(&self) -> bool {
        self.model_breaker.is_failing() || self.breaker.is_failing()
    }

    async fn embed(&self, text: &str) -> Option<Embedding> {
        let model = self.model.as_ref().filter(|_| self.model_breaker.allows(now_ms()))?;
        let embedded = tokio::time::timeout(EMBEDDING, model.embed(vec![text.to_owned()])).await;
        // A model that refuses a text is there.
        self.model_breaker.note(matches!(embedded, Ok(Ok(_) | Err(EmbedError::Rejected(_)))), now_ms());
        match embedded {
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
}
