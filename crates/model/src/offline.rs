//! The offline model: fixed rules, no network, and it says so.
//!
//! It exists so that everything around it can be tried and tested without a
//! key: it streams, reports usage, calls tools when asked to in plain words,
//! and answers from memories that stand in the prompt. It never pretends to
//! understand.

mod rules; // What it does with a request.

use std::time::Duration;

use async_trait::async_trait;
use domain::chat::{Answer, Usage};
use tokio::sync::mpsc;

use crate::{ChatModel, ChatRequest, ModelError, Progress, tokens};

pub(crate) struct Offline {
    word_pause: Duration,
}

impl Offline {
    pub(crate) fn new(word_pause: Duration) -> Self {
        Self { word_pause }
    }
}

#[async_trait]
impl ChatModel for Offline {
    async fn chat(&self, request: &ChatRequest, progress: &mpsc::Sender<Progress>) -> Result<Answer, ModelError> {
        let mut answer = rules::answer(request);
        for word in answer.text.split_inclusive(' ') {
            let pause = rules::pause(&answer.text).unwrap_or(self.word_pause);
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            // Nobody may be listening any more; the answer still counts.
            let _ = progress.send(Progress::Text(word.to_owned())).await;
        }
        let read: usize = request.messages.iter().flat_map(|message| message.texts()).map(tokens::count).sum();
        let written: usize = answer.calls.iter().map(|call| tokens::count(&call.arguments)).sum();
        answer.usage = Usage {
            input_tokens: (read + tokens::count(&request.system)) as u64,
            output_tokens: (written + tokens::count(&answer.text)) as u64,
            cached_tokens: 0,
        };
        Ok(answer)
    }
}
