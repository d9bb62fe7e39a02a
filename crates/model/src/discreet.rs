//! A model that never says the secrets of the process that asks it (attacks S12 and S28): no prompt
//! holds one, and should one ever get there, it goes no further.

use std::sync::Arc;

use async_trait::async_trait;
use domain::chat::{Answer, ChatRequest};
use domain::secret::KnownSecrets;
use tokio::sync::mpsc;

use crate::{ChatModel, ModelError, Progress};

/// Pieces of text that may wait for who hears them; the model waits for more.
const PIECES: usize = 64;

pub(crate) struct Discreet {
    pub(crate) model: Arc<dyn ChatModel>,
    pub(crate) secrets: KnownSecrets,
}

#[async_trait]
impl ChatModel for Discreet {
    async fn chat(&self, request: &ChatRequest, progress: &mpsc::Sender<Progress>) -> Result<Answer, ModelError> {
        let (said, mut pieces) = mpsc::channel(PIECES);
        let relay = async {
            let mut redactor = self.secrets.redactor();
            while let Some(piece) = pieces.recv().await {
                let shown = match piece {
                    Progress::Text(text) => Progress::Text(redactor.push(&text)),
                    retrying @ Progress::Retrying { .. } => {
                        // The text so far is void, and what was held of it.
                        redactor = self.secrets.redactor();
                        retrying
                    }
                };
                give(progress, shown).await;
            }
            give(progress, Progress::Text(redactor.finish())).await;
        };
        let ask = async {
            let said = said;
            self.model.chat(request, &said).await
        };
        let (answered, ()) = tokio::join!(ask, relay);
        answered.map(|answer| Answer { text: self.secrets.redact(&answer.text), ..answer })
    }
}

/// Nobody need hear it.
async fn give(progress: &mpsc::Sender<Progress>, piece: Progress) {
    if piece != Progress::Text(String::new()) {
        let _ = progress.send(piece).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::chat::ChatMessage;
    use domain::decide::Tools;

    use super::*;
    use crate::offline::Offline;

    #[tokio::test]
    async fn what_it_says_is_without_secrets_while_it_says_it_and_in_the_end() {
        let secrets = KnownSecrets::new(["canary-0123456789".to_owned()]);
        let model = Discreet { model: Arc::new(Offline::new(Duration::ZERO)), secrets };
        let request = ChatRequest {
            model: "offline".into(),
            system: String::new().into(),
            messages: vec![ChatMessage::user("is it canary-0123456789?".to_owned())],
            tools: Arc::from([]),
            tool_use: Tools::Withheld,
            max_tokens: 1000,
        };
        let (progress, mut pieces) = mpsc::channel(10_000);
        let answer = model.chat(&request, &progress).await.unwrap();
        drop(progress);
        let mut shown = String::new();
        while let Some(piece) = pieces.recv().await {
            if let Progress::Text(text) = piece {
                shown += &text;
            }
        }
        assert_eq!(shown, answer.text);
        assert!(shown.contains("is it [a secret]?") && !shown.contains("canary"), "{shown}");
    }
}
