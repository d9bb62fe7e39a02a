//! Embeds what was said, in the background: nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use embed::Embedder;
use tracing::info;

use crate::actors::projector::describe;
use crate::background::Work;
use crate::ports::{Passages, Unembedded};

/// Passages that are embedded at once; each is two texts.
const BATCH: u32 = 16;
/// Longest text that is embedded, in bytes: models read less.
const TEXT_BYTES: usize = 4096;
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
        let texts = batch.iter().flat_map(|passage| [own(passage), around(passage)]).collect();
        let vectors = self.model.embed(texts).await.map_err(|err| err.to_string())?;
        let mut vectors = vectors.into_iter();
        for passage in &batch {
            let (Some(own), Some(mut around)) = (vectors.next(), vectors.next()) else {
                return Err("the model gave too few vectors".to_owned());
            };
            around.tokens = own.tokens;
            self.passages.store_vectors(self.model.model(), passage, &around).await.map_err(describe)?;
        }
        Ok(batch.len() as u64)
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
