//! Embeds what was said, in the background: nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use embed::{EmbedError, Embedder};
use recall::Embedding;
use tracing::{info, warn};

use crate::actors::projector::describe;
use crate::background::Work;
use crate::ports::{Passages, Unembedded};

/// Passages that are embedded at once; each is two texts.
const BATCH: u32 = 16;
/// Longest text that is embedded, in bytes: models read less.
const TEXT_BYTES: usize = 4096;
/// A text that every model takes.
const PROBE: &str = "hello";
/// Wait after a failure, and for what another replica stored.
pub(crate) const PAUSE: Duration = Duration::from_secs(5);
/// So many passages between two lines about progress.
const PROGRESS: u64 = 500;

pub(crate) struct PassageEmbedder {
    pub(crate) passages: Arc<dyn Passages>,
    pub(crate) model: Arc<dyn Embedder>,
    /// How many were embedded since there was nothing to embed.
    pub(crate) done: AtomicU64,
}

#[async_trait]
impl Work for PassageEmbedder {
    /// Queues what has vectors of another model, or none.
    async fn begin(&self) -> Result<(), String> {
        self.passages.embed_all(self.model.model()).await.map_err(describe)
    }

    async fn step(&self) -> Result<bool, String> {
        let some = self.embed_some().await?;
        if some == 0 {
            self.done.store(0, Ordering::Relaxed);
            return Ok(false);
        }
        let before = self.done.fetch_add(some, Ordering::Relaxed);
        if before / PROGRESS < (before + some) / PROGRESS {
            let left = self.passages.count_unembedded().await.unwrap_or(0);
            info!(done = before + some, left, "embedding what was said");
        }
        Ok(true)
    }
}

impl PassageEmbedder {
    /// Embeds the newest passages that have no vectors; says how many.
    async fn embed_some(&self) -> Result<u64, String> {
        let batch = self.passages.unembedded(self.model.model(), BATCH).await.map_err(describe)?;
        match self.embed(&batch).await {
            Ok(vectors) => self.store(&batch, vectors).await?,
            // One that the model does not take must not keep the others waiting.
            Err(EmbedError::Rejected(_)) => {
                // Unless it takes nothing at all: then it is set up wrongly.
                self.model.embed(vec![PROBE.to_owned()]).await.map_err(|err| err.to_string())?;
                for passage in &batch {
                    let alone = std::slice::from_ref(passage);
                    let vectors = match self.embed(alone).await {
                        Err(EmbedError::Rejected(why)) => {
                            warn!(id = passage.id, why, "it will be found by its words alone");
                            vec![Embedding { text: Vec::new(), tokens: None }]
                        }
                        made => made.map_err(|err| err.to_string())?,
                    };
                    self.store(alone, vectors).await?;
                }
            }
            Err(err) => return Err(err.to_string()),
        }
        Ok(batch.len() as u64)
    }

    /// One embedding for each: of the text after what was before it, with the words of its own.
    async fn embed(&self, batch: &[Unembedded]) -> Result<Vec<Embedding>, EmbedError> {
        let texts = batch.iter().flat_map(|passage| [own(passage), around(passage)]).collect();
        let mut vectors = self.model.embed(texts).await?.into_iter();
        let both = std::iter::from_fn(|| vectors.next().zip(vectors.next()));
        Ok(both.map(|(own, around)| Embedding { tokens: own.tokens, ..around }).collect())
    }

    async fn store(&self, batch: &[Unembedded], vectors: Vec<Embedding>) -> Result<(), String> {
        if vectors.len() != batch.len() {
            return Err("the model gave too few vectors".to_owned());
        }
        for (passage, vectors) in batch.iter().zip(&vectors) {
            self.passages.store_vectors(self.model.model(), passage, vectors).await.map_err(describe)?;
        }
        Ok(())
    }
}

/// A passage as it is embedded by itself.
fn own(passage: &Unembedded) -> String {
    said(&passage.speaker, &passage.text)
}

/// A passage after what was said before it.
fn around(passage: &Unembedded) -> String {
    match &passage.before {
        Some((text, speaker)) => format!("{}\n{}", said(speaker, text), own(passage)),
        None => own(passage),
    }
}

fn said(speaker: &str, text: &str) -> String {
    let text = &text[..text.floor_char_boundary(TEXT_BYTES)];
    if speaker.is_empty() { text.to_owned() } else { format!("{speaker}: {text}") }
}
