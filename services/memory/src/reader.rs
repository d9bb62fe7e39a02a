//! The model that reads what was said: for facts, and for summaries. Whoever said it pays, or
//! the conversation it was said in; what is asked, and what an answer means, is `learn`'s.

use std::sync::Arc;
use std::time::Duration;

use domain::chat::ChatMessage;
use domain::decide::Tools;
use domain::journal::Fault;
use model::{ChatModel, ChatRequest};
use spending::{Budgets, Paying};
use tracing::info;

/// How long the model may take for one text.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A model that is asked about texts, by its name.
pub(crate) struct Reader {
    pub(crate) model: Arc<dyn ChatModel>,
    pub(crate) name: String,
    pub(crate) budgets: Option<Arc<Budgets>>,
}

impl Reader {
    /// The model's answer about a text, which is material and no question to it; none when
    /// whoever pays has used up the day's budget.
    pub(crate) async fn ask(
        &self,
        instruction: &str,
        text: String,
        max_tokens: u32,
        paying: Paying<'_>,
    ) -> Result<Option<String>, String> {
        let request = ChatRequest {
            model: self.name.clone(),
            system: instruction.into(),
            messages: vec![ChatMessage::user(text)],
            tools: [].into(),
            tool_use: Tools::Withheld,
            max_tokens,
        };
        let paying = self.budgets.as_ref().map(|budgets| (budgets, paying));
        // Nobody watches this answer come in.
        let asked = spending::call(self.model.as_ref(), &request, paying, |_| true);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => Ok(Some(answer.text)),
            Ok(Err(err)) if matches!(err.fault, Fault::OverBudget | Fault::ChannelOverBudget) => {
                info!("a day's budget is used up: rules read instead of the model");
                Ok(None)
            }
            Ok(Err(err)) => Err(err.to_string()),
            Err(_) => Err(format!("the model gave no answer within {PATIENCE:?}")),
        }
    }
}
