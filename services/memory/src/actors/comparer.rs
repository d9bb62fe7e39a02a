//! Compares texts with questions by their meaning, for whoever chooses among texts that are
//! the same again and again: their vectors are kept, and made in the background, so that
//! nobody waits for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bus::Serve;
use domain::memory::{COMPARED, Comparison, QUESTIONS, Similarities};
use embed::{EmbedError, Embedder};
use recall::cosine;
use service_kit::task::{self, TaskKind};
use tokio::sync::Semaphore;
use tracing::warn;

use crate::search::Search;

/// Vectors that are kept, each some 2 KB.
const KEPT: usize = 4 * COMPARED;
/// How long the model may take for some texts.
const PATIENCE: Duration = Duration::from_secs(60);

/// Texts that are embedded at once: whoever asks meanwhile waits for no more.
const BATCH: usize = 16;

/// None for a text that the model does not take.
type Vector = Option<Arc<[f32]>>;
type Vectors = Arc<Mutex<HashMap<String, Vector>>>;

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
            let keep = |texts: &[String], made: Vec<Vector>| {
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                if known.len() + made.len() > KEPT {
                    // What is still asked for is made again.
                    known.clear();
                }
                known.extend(texts.iter().cloned().zip(made));
            };
            for some in missing.chunks(BATCH) {
                match embed(model.as_ref(), some).await {
                    Ok(made) => keep(some, made),
                    Err(Refusal::Texts) => {
                        for one in some.chunks(1) {
                            match embed(model.as_ref(), one).await {
                                Ok(made) => keep(one, made),
                                Err(Refusal::Texts) => keep(one, vec![None]),
                                Err(Refusal::All(why)) => return warn!(why, "comparing by words alone"),
                            }
                        }
                    }
                    Err(Refusal::All(why)) => return warn!(why, "comparing by words alone"),
                }
            }
            drop(making);
        });
    }
}

/// Why there are no vectors.
enum Refusal {
    /// One of the texts is none that the model takes.
    Texts,
    All(String),
}

async fn embed(model: &dyn Embedder, texts: &[String]) -> Result<Vec<Vector>, Refusal> {
    match tokio::time::timeout(PATIENCE, model.embed(texts.to_vec())).await {
        Ok(Ok(made)) => Ok(made.into_iter().map(|made| Some(made.text.into())).collect()),
        Ok(Err(EmbedError::Rejected(_))) => Err(Refusal::Texts),
        Ok(Err(err)) => Err(Refusal::All(err.to_string())),
        Err(_) => Err(Refusal::All("the embedding model is slow".to_owned())),
    }
}

#[async_trait]
impl Serve<Comparison, Similarities> for Comparer {
    async fn serve(&self, mut asked: Comparison) -> Result<Similarities, String> {
        let Some(model) = &self.model else { return Ok(Similarities::default()) };
        asked.questions.truncate(QUESTIONS);
        asked.texts.truncate(COMPARED);
        let (vectors, missing): (Vec<Vector>, Vec<String>) = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let missing = asked.texts.iter().filter(|text| !known.contains_key(*text)).cloned();
            (asked.texts.iter().map(|text| known.get(text).cloned().flatten()).collect(), missing.collect())
        };
        let mut rows = Vec::new();
        for question in &asked.questions {
            let of = self.search.ask(question).await.embedding;
            let similar = |vector: &Vector| Some(cosine(&of.as_ref()?.text, vector.as_ref()?));
            rows.push(vectors.iter().map(similar).collect());
        }
        // Those who ask come first: the model does one thing at a time.
        if !missing.is_empty() && !self.search.is_degraded() {
            self.make(model, missing);
        }
        Ok(Similarities(rows))
    }
}
