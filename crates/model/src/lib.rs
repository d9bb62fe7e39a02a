//! Models behind one port: [`ChatModel`].
//!
//! Vendors are reached through genai, which speaks both wires (see
//! `docs/adr/0002-genai-behind-one-port.md`); retries, error classes and the
//! offline model are ours. Vendor text never reaches a person: they are told by
//! class, in our words.

mod config; // Which provider, which model for which tier.
mod discreet; // Without the process's own secrets.
mod faults; // What a vendor's error means.
mod offline; // Fixed rules, no network.
mod retry; // Trying again, as the vendor asks.
mod tokens; // Counting tokens.
mod vendor; // Anthropic and OpenAI-compatible endpoints.
mod xml; // Tool calls as text.

use std::sync::Arc;

use async_trait::async_trait;
use domain::attachment::Image;
use domain::chat::Answer;
use domain::journal::Fault;
use tokio::sync::mpsc;

pub use domain::chat::ChatRequest;

pub use config::{ModelConfig, Provider};
pub use tokens::count as count_tokens;

/// What happens while a model answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// More of the answer's text.
    Text(String),
    /// The call failed and is made again: the text so far is void.
    Retrying { why: String },
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {detail}", fault.as_str())]
pub struct ModelError {
    pub fault: Fault,
    /// For the operator's log: the vendor's words without the key, cut short.
    pub detail: String,
}

/// A model that answers in a stream.
#[async_trait]
pub trait ChatModel: Send + Sync {
    /// Answers a request. Text goes to `progress` as it comes; the complete
    /// answer is returned. Dropping the future ends the call.
    async fn chat(&self, request: &ChatRequest, progress: &mpsc::Sender<Progress>) -> Result<Answer, ModelError>;
}

/// Where the images are kept that requests name.
#[async_trait]
pub trait Images: Send + Sync {
    /// What an image holds; `None` when it is no longer kept, and the model is told so.
    /// An error is for a while, and in words for the log.
    async fn read(&self, image: &Image) -> Result<Option<Vec<u8>>, String>;
}

/// For requests that show none.
pub struct NoImages;

#[async_trait]
impl Images for NoImages {
    async fn read(&self, _: &Image) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }
}

/// The configured model, with retries, and without the secrets of this process in what it says.
pub fn open(config: &ModelConfig, images: Arc<dyn Images>) -> Result<Arc<dyn ChatModel>, ModelError> {
    let model: Arc<dyn ChatModel> = match &config.provider {
        Provider::Offline { word_pause } => Arc::new(offline::Offline::new(*word_pause)),
        Provider::Anthropic(endpoint) | Provider::OpenAi(endpoint) => {
            let wire = match config.provider {
                Provider::Anthropic(_) => vendor::Wire::Anthropic,
                _ => vendor::Wire::OpenAi,
            };
            let vendor = vendor::Vendor::new(wire, endpoint.clone(), config.timeout, images)
                .map_err(|err| ModelError { fault: Fault::Rejected, detail: err.to_string() })?;
            let patient = Arc::new(retry::Patient::new(vendor, config.retries));
            if config.xml_calls { Arc::new(xml::Xml(patient)) } else { patient }
        }
    };
    Ok(match config.secrets.is_empty() {
        true => model,
        false => Arc::new(discreet::Discreet { model, secrets: config.secrets.clone() }),
    })
}
