//! An OpenAI-compatible embeddings endpoint, through genai:
//! <https://platform.openai.com/docs/api-reference/embeddings>.
//!
//! It gives one vector a text and none of its words.

use std::time::Duration;

use async_trait::async_trait;
use genai::adapter::AdapterKind;
use genai::embed::EmbedOptions;
use genai::resolver::{AuthData, Endpoint as Address};
use genai::{Client, ModelIden, ServiceTarget};
use recall::Embedding;
use secrecy::{ExposeSecret, SecretString};

use crate::{EmbedError, Embedder, TEXTS};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Widest vector that is taken.
const WIDTH: usize = 8192;

/// An endpoint with the model that is asked for there.
pub struct Endpoint {
    client: Client,
    /// Up to and with the version, ends with a slash.
    base_url: String,
    key: Option<SecretString>,
    model: String,
}

impl Endpoint {
    /// `base_url` goes up to and with `/v1`; local servers need no key.
    pub fn new(base_url: &str, key: Option<SecretString>, model: String) -> Result<Self, EmbedError> {
        let client = Client::new().map_err(|err| EmbedError::Failed(err.to_string()))?;
        Ok(Self { client, base_url: format!("{}/", base_url.trim_end_matches('/')), key, model })
    }

    fn target(&self) -> ServiceTarget {
        let key = self.key.as_ref().map_or("none", |key| key.expose_secret());
        ServiceTarget {
            endpoint: Address::from_owned(self.base_url.clone()),
            auth: AuthData::from_single(key.to_owned()),
            model: ModelIden::new(AdapterKind::OpenAI, self.model.clone()),
        }
    }
}

/// What the operator should know of a failure: what an endpoint says itself may quote
/// the key, or what people said.
fn fault(err: &genai::Error) -> EmbedError {
    match err.status().map(|status| status.as_u16()) {
        Some(status @ (400 | 413 | 422)) => EmbedError::Rejected(format!("the endpoint answered {status}")),
        Some(status @ (401 | 403)) => EmbedError::Failed(format!(
            "the endpoint answered {status}: check OPENAI_API_KEY, or the key of its server"
        )),
        Some(404) => EmbedError::Failed(
            "the endpoint answered 404: check CLARA_EMBEDDING_BASE_URL and CLARA_EMBEDDING_MODEL".to_owned(),
        ),
        Some(status) => EmbedError::Failed(format!("the endpoint answered {status}")),
        None => {
            EmbedError::Failed("the endpoint cannot be reached, or does not speak as OpenAI documents it".to_owned())
        }
    }
}

#[async_trait]
impl Embedder for Endpoint {
    fn model(&self) -> &str {
        &self.model
    }

    async fn embed(&self, mut texts: Vec<String>) -> Result<Vec<Embedding>, EmbedError> {
        texts.truncate(TEXTS);
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        // An endpoint refuses a text that is empty.
        texts.iter_mut().filter(|text| text.trim().is_empty()).for_each(|text| "-".clone_into(text));
        let expected = texts.len();
        let options = EmbedOptions::new().with_encoding_format("float");
        let asked = self.client.embed_batch(self.target(), texts, Some(&options));
        let answer = tokio::time::timeout(PATIENCE, asked).await;
        let answer = answer.map_err(|_| EmbedError::Failed(format!("no answer within {PATIENCE:?}")))?;
        let mut answer = answer.map_err(|err| fault(&err))?.embeddings;
        // In the order of the texts, whatever the order of the answer.
        answer.sort_by_key(|embedding| embedding.index);
        let vectors: Option<Vec<Embedding>> = answer.into_iter().map(|embedding| unit(embedding.vector)).collect();
        match vectors {
            Some(vectors) if vectors.len() == expected => Ok(vectors),
            None => Err(EmbedError::Rejected("its vector has no direction, or is too wide".to_owned())),
            Some(_) => Err(EmbedError::Failed("the answer does not hold one vector for each text".to_owned())),
        }
    }
}

/// A vector of length 1; none for what has no direction.
fn unit(mut vector: Vec<f32>) -> Option<Embedding> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if !length.is_normal() || vector.len() > WIDTH {
        return None;
    }
    vector.iter_mut().for_each(|value| *value /= length);
    Some(Embedding { text: vector, tokens: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_length_one() {
        assert_eq!(unit(vec![3.0, 4.0]).unwrap().text, [0.6, 0.8]);
        assert!(unit(vec![0.0, 0.0]).is_none() && unit(vec![f32::NAN]).is_none() && unit(vec![]).is_none());
        assert!(unit(vec![1.0; WIDTH + 1]).is_none());
    }
}
