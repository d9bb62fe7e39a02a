//! Compares texts with questions by their meaning, for whoever chooses among texts that are
//! the same again and again: their vectors are kept, and made in the background, so that
//! nobody waits for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bus::Serve;
use domain::memory::{COMPARED, Comparison, QUESTIONS, Similarities};
use embed::{EmbedError, Embedder, TEXTS};
use recall::cosine;
use service_kit::task::{self, TaskKind};
use tokio::sync::Semaphore;
use tracing::warn;

use crate::search::Search;

/// Vectors that are kept, each some 2 KB.
const KEPT: usize = 4 * COMPARED;
/// How long the model may take for some texts.
const PATIENCE: Duration = Duration::from_secs(60);

type Vectors = Arc<Mutex<HashMap<String, Arc<[f32]>>>>;

pub(crate) struct Comparer {
    search: Arc<Search>,
    model: Option<Arc<dyn Embedder>>,
    known: Vectors,
    /// One at a time makes vectors.
    making: Arc<Semaphore>,
}

impl Comparer {
    pub(crate) fn new(search: Arc<Search>, model: Option<Arc<dyn Embedder>>) -> Self {
        Self { search, model, known: Vectors::default(), making: Arc::new(Semaphore::new(1)) }
    }

    /// Makes the vectors of texts, unless some are being made: then the next comparison asks
    /// again for what is missing.
    fn make(&self, model: &Arc<dyn Embedder>, missing: Vec<String>) {
        let Ok(making) = Arc::clone(&self.making).try_acquire_owned() else { return };
        let (model, known) = (Arc::clone(model), Arc::clone(&self.known));
        task::spawn(TaskKind::Work, "embed-compared-texts", async move {
            for some in missing.chunks(TEXTS) {
                let made = match tokio::time::timeout(PATIENCE, model.embed(some.to_vec())).await {
                    Ok(Ok(made)) => made,
                    // Words do for those that the model does not take.
                    Ok(Err(EmbedError::Rejected(_))) => continue,
                    Ok(Err(err)) => return warn!(error = %err, "comparing by words alone"),
                    Err(_) => return warn!("the embedding model is slow; comparing by words alone"),
                };
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                if known.len() + made.len() > KEPT {
                    // What is still asked for is made again.
                    known.clear();
                }
                known.extend(some.iter().cloned().zip(made.into_iter().map(|made| made.text.into())));
            }
            drop(making);
        });
    }
}

#[async_trait]
impl Serve<Comparison, Similarities> for Comparer {
    async fn serve(&self, mut asked: Comparison) -> Result<Similarities, String> {
        let Some(model) = &self.model else { return Ok(Similarities::default()) };
        asked.questions.truncate(QUESTIONS);
        asked.texts.truncate(COMPARED);
        let vectors: Vec<Option<Arc<[f32]>>> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            asked.texts.iter().map(|text| known.get(text).cloned()).collect()
        };
        let missing = asked.texts.into_iter().zip(&vectors).filter(|(_, vector)| vector.is_none());
        let missing: Vec<String> = missing.map(|(text, _)| text).collect();
        if !missing.is_empty() {
            self.make(model, missing);
        }
        let mut rows = Vec::new();
        for question in &asked.questions {
            let of = self.search.ask(question).await.embedding;
            let similar = |vector: &Option<Arc<[f32]>>| Some(cosine(&of.as_ref()?.text, vector.as_ref()?));
            rows.push(vectors.iter().map(similar).collect());
        }
        Ok(Similarities(rows))
    }
}
