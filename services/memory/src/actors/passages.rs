//! Finds what was said.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::Serve;
use domain::guard::cut_middle;
use domain::memory::{PASSAGE_BYTES, PASSAGES, Passage, PassageRequest};
use embed::Embedder;
use tracing::warn;

use super::projector::describe;
use crate::indexes::{Found, Indexes};
use crate::ports::Passages;
use crate::scope::Scope;

/// How long the model may take for a question; then words alone must do.
const EMBEDDING: Duration = Duration::from_secs(2);
/// Longest part of a question that is searched by, in bytes.
const QUERY_BYTES: usize = 8 * 1024;

pub(crate) struct PassageServer {
    pub(crate) passages: Arc<dyn Passages>,
    pub(crate) indexes: Indexes,
    pub(crate) model: Option<Arc<dyn Embedder>>,
}

#[async_trait]
impl Serve<PassageRequest, Vec<Passage>> for PassageServer {
    async fn serve(&self, request: PassageRequest) -> Result<Vec<Passage>, String> {
        self.find(&request).await
    }
}

impl PassageServer {
    pub(crate) async fn find(&self, request: &PassageRequest) -> Result<Vec<Passage>, String> {
        let user = request.principal.user.as_str();
        let scope = match &request.group {
            Some(conversation) => Scope::Group(conversation.clone()),
            None => Scope::Person(user.to_owned()),
        };
        if !self.passages.is_participant(&scope, user).await.map_err(describe)? {
            return Err("you have said nothing in that conversation".to_owned());
        }
        let query = request.query[..request.query.floor_char_boundary(QUERY_BYTES)].trim().to_owned();
        if query.is_empty() {
            return Ok(Vec::new());
        }
        let embedding = self.embed(&query).await;
        let limit = (request.limit as usize).min(PASSAGES);
        let found = self.indexes.search(&scope, query, embedding, limit).await.map_err(describe)?;
        Ok(found.into_iter().map(given).collect())
    }

    async fn embed(&self, query: &str) -> Option<recall::Embedding> {
        let model = self.model.as_ref()?;
        match tokio::time::timeout(EMBEDDING, model.embed(vec![query.to_owned()])).await {
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

fn given(found: Found) -> Passage {
    let Found { id, speaker, text, at_ms } = found;
    let text = if text.len() > PASSAGE_BYTES { cut_middle(&text, PASSAGE_BYTES / 4) } else { text };
    Passage { id, speaker, text, at_ms }
}
