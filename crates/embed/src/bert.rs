//! A model of the BERT family from a folder, run on this processor.
//!
//! The folder is as sentence-transformers writes it: `config.json`,
//! `tokenizer.json` and `model.safetensors`. A text's vector is the mean of its
//! words' vectors (Reimers and Gurevych, "Sentence-BERT", EMNLP 2019).

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use recall::{Embedding, TokenVectors};
use tokenizers::{Encoding, Tokenizer, TruncationParams};
use tokio::sync::Semaphore;

use crate::{EmbedError, Embedder, TEXTS};

/// Longest text, in pieces of the vocabulary, if the folder does not say.
const PIECES: usize = 256;
/// Pieces of all texts that are computed at once, with what fills them up.
const BATCH: usize = 2048;

/// A model that is loaded.
pub struct Bert {
    name: String,
    loaded: Arc<Loaded>,
    /// One computation at a time: it uses every processor by itself.
    free: Semaphore,
}

struct Loaded {
    tokenizer: Tokenizer,
    model: BertModel,
}

impl Bert {
    /// Reads a model from its folder.
    pub fn open(folder: &Path) -> Result<Self, EmbedError> {
        let failed = |why: String| EmbedError::Open { folder: folder.display().to_string(), why };
        let read = |name: &str| std::fs::read(folder.join(name)).map_err(|err| failed(format!("{name}: {err}")));
        let config: Config =
            serde_json::from_slice(&read("config.json")?).map_err(|err| failed(format!("config.json: {err}")))?;
        let mut tokenizer =
            Tokenizer::from_bytes(read("tokenizer.json")?).map_err(|err| failed(format!("tokenizer.json: {err}")))?;
        tokenizer.with_padding(None);
        let truncation = TruncationParams { max_length: longest(folder, &config), ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|err| failed(err.to_string()))?;
        let weights = read("model.safetensors")?;
        let name = format!("bert-{}", &blake3::hash(&weights).to_hex()[..16]);
        let model = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)
            .and_then(|weights| BertModel::load(weights, &config))
            .map_err(|err| failed(format!("model.safetensors: {err}")))?;
        Ok(Self { name, loaded: Arc::new(Loaded { tokenizer, model }), free: Semaphore::new(1) })
    }
}

/// Longest text, in pieces.
fn longest(folder: &Path, config: &Config) -> usize {
    let stated = std::fs::read(folder.join("sentence_bert_config.json")).ok();
    let stated = stated.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let stated = stated.and_then(|value| usize::try_from(value["max_seq_length"].as_u64()?).ok());
    stated.unwrap_or(PIECES).clamp(8, config.max_position_embeddings.max(8))
}

#[async_trait]
impl Embedder for Bert {
    fn model(&self) -> &str {
        &self.name
    }

    async fn embed(&self, mut texts: Vec<String>) -> Result<Vec<Embedding>, EmbedError> {
        texts.truncate(TEXTS);
        let failed = |err: &dyn std::fmt::Display| EmbedError::Failed(err.to_string());
        let _free = self.free.acquire().await.map_err(|err| failed(&err))?;
        let loaded = Arc::clone(&self.loaded);
        let computed = tokio::task::spawn_blocking(move || loaded.embed(texts)).await.map_err(|err| failed(&err))?;
        computed.map_err(|err| failed(&err))
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Loaded {
    fn embed(&self, texts: Vec<String>) -> Result<Vec<Embedding>, Failure> {
        let encodings = self.tokenizer.encode_batch(texts, true)?;
        // Like with like: what fills short texts up costs as much as text.
        let mut order: Vec<usize> = (0..encodings.len()).collect();
        order.sort_by_key(|number| encodings[*number].len());
        let mut done: Vec<(usize, Embedding)> = Vec::with_capacity(encodings.len());
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let mut count = 1;
            while count < rest.len() && (count + 1) * encodings[rest[count]].len() <= BATCH {
                count += 1;
            }
            let (batch, others) = rest.split_at(count);
            let of_batch: Vec<&Encoding> = batch.iter().map(|number| &encodings[*number]).collect();
            done.extend(batch.iter().copied().zip(self.compute(&of_batch)?));
            rest = others;
        }
        done.sort_by_key(|(number, _)| *number);
        Ok(done.into_iter().map(|(_, embedding)| embedding).collect())
    }

    fn compute(&self, batch: &[&Encoding]) -> Result<Vec<Embedding>, Failure> {
        let width = batch.iter().map(|encoding| encoding.len()).max().unwrap_or(0).max(1);
        let filled = |values: fn(&Encoding) -> &[u32]| -> Result<Tensor, Failure> {
            let mut all = Vec::with_capacity(batch.len() * width);
            for encoding in batch {
                all.extend_from_slice(values(encoding));
                all.resize(all.len() + width - encoding.len(), 0);
            }
            Ok(Tensor::from_vec(all, (batch.len(), width), &Device::Cpu)?)
        };
        let (ids, types) = (filled(Encoding::get_ids)?, filled(Encoding::get_type_ids)?);
        let mask = filled(Encoding::get_attention_mask)?;
        let hidden = self.model.forward(&ids, &types, Some(&mask))?.to_vec3::<f32>()?;
        Ok(batch.iter().zip(hidden).map(|(encoding, vectors)| embedding(encoding, &vectors)).collect())
    }
}

/// What is kept of a text's vectors: their mean, and those of its words.
fn embedding(encoding: &Encoding, vectors: &[Vec<f32>]) -> Embedding {
    let width = vectors.first().map_or(0, Vec::len);
    let mut mean = vec![0.0; width];
    for vector in vectors.iter().take(encoding.len()) {
        mean.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    }
    let length = mean.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        mean.iter_mut().for_each(|value| *value /= length);
    }
    let words = encoding.get_ids().iter().zip(encoding.get_special_tokens_mask()).zip(vectors);
    let words = words.filter(|((_, special), _)| **special == 0).map(|((id, _), vector)| (*id, vector.as_slice()));
    Embedding { text: mean, tokens: Some(TokenVectors::new(width, words)) }
}
