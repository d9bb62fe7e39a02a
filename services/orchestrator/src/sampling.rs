//! Answers what MCP servers want of the model, within the budget of the person whose call it
//! is for. What they are told is the server's own words alone: nothing of a conversation.

use std::sync::Arc;

use async_trait::async_trait;
use bus::Serve;
use domain::chat::{ChatMessage, Ending};
use domain::decide::Tools;
use domain::sampling::{ANSWER_TOKENS, ASKED_BYTES, PATIENCE, Sample, Sampled, Voice};
use domain::tier::Tier;
use model::{ChatModel, ChatRequest, ModelConfig};

use spending::{Budgets, Paying};

/// Which model answers: servers do not choose.
const TIER: Tier = Tier::Mid;

pub(crate) struct Sampler {
    pub(crate) model: Arc<dyn ChatModel>,
    pub(crate) models: ModelConfig,
    pub(crate) budgets: Option<Arc<Budgets>>,
}

#[async_trait]
impl Serve<Sample, Sampled> for Sampler {
    async fn serve(&self, sample: Sample) -> Result<Sampled, String> {
        let bytes: usize = sample.messages.iter().map(|(_, text)| text.len()).sum();
        if sample.messages.is_empty() || bytes + sample.system.len() > ASKED_BYTES {
            return Err(format!("a server asks the model with 1 to {ASKED_BYTES} bytes"));
        }
        let said = |(voice, text): (Voice, String)| match voice {
            Voice::User => ChatMessage::user(text),
            Voice::Assistant => ChatMessage::assistant(text),
        };
        let request = ChatRequest {
            model: self.models.model(TIER).to_owned(),
            system: sample.system.into(),
            messages: sample.messages.into_iter().map(said).collect(),
            tools: Arc::from([]),
            tool_use: Tools::Withheld,
            max_tokens: sample.max_tokens.clamp(1, ANSWER_TOKENS.min(self.models.max_tokens)),
        };
        let paying = Paying {
            person: Some(&sample.principal.user),
            conversation: Some(&sample.conversation),
            call: format!("sample:{}", sample.id),
            tier: TIER,
        };
        let paying = self.budgets.as_ref().map(|budgets| (budgets, paying));
        // Nobody watches it being written.
        let asked = spending::call(self.model.as_ref(), &request, paying, |_| true);
        let answered = tokio::time::timeout(PATIENCE, asked).await;
        let answered = answered.map_err(|_| format!("the model gave no answer within {PATIENCE:?}"))?;
        let answer = answered.map_err(|err| err.fault.told_user())?;
        Ok(Sampled { text: answer.text, model: request.model, is_cut: answer.ending == Ending::Cut })
    }
}
