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

impl Search {
    /// Best first; nothing for an empty question.
    pub(crate) async fn find(&self, scope: &Scope, query: &str, limit: usize) -> Result<Vec<Found>, MemoryError> {
        let query = query[..query.floor_char_boundary(QUERY_BYTES)].trim().to_owned();
        if query.is_empty() {
            return Ok(Vec::new());
        }
        let embedding = self.embed(&query).await;
        self.indexes.search(scope, query, embedding, limit).await
    }

    /// The vectors of a text; none without a model, or when it is too slow.
    pub(crate) async fn embed(&self, text: &str) -> Option<Embedding> {
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
