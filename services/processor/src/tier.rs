//! Which class of model answers.

use std::sync::Arc;
use std::time::Duration;

use domain::chat::ChatMessage;
use domain::decide::Tools;
use domain::tier::{Tier, is_short_assent, parse_classification};
use domain::turn::TurnRequest;
use model::{ChatModel, ChatRequest, ModelConfig, NoImages};
use spending::{Budgets, Paying};
use tracing::debug;

/// How long the choice may take before the default stands.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// The part of a message that the choice is made by, in characters.
const LOOK: usize = 500;
const QUESTION: &str = "You sort requests by how strong a model they need. Answer with one word: \
                        LOW for small talk and simple look-ups, MID for ordinary work, \
                        HIGH for hard reasoning, long writing or difficult code.";

pub(crate) struct TierChoice {
    default: Tier,
    /// The model that sorts, when tiers are chosen automatically.
    sorter: Option<(Arc<dyn ChatModel>, String)>,
    budgets: Option<Arc<Budgets>>,
}

impl TierChoice {
    pub(crate) fn new(config: &ModelConfig, budgets: Option<Arc<Budgets>>) -> Result<Self, model::ModelError> {
        let sorter = match config.auto_tier {
            true => Some((model::open(config, Arc::new(NoImages))?, config.model(Tier::Low).to_owned())),
            false => None,
        };
        Ok(Self { default: config.default_tier, sorter, budgets })
    }

    /// What the person chose; else what the message needs; else the default.
    pub(crate) async fn choose(&self, request: &TurnRequest) -> Tier {
        if let Some(chosen) = request.messages.iter().rev().find_map(|message| message.tier) {
            return chosen;
        }
        let (Some((model, name)), Some(last)) = (&self.sorter, request.messages.last()) else { return self.default };
        if let Some(tier) = request.discussion_tier
            && is_short_assent(&last.text)
        {
            return tier;
        }
        let question = ChatRequest {
            model: name.clone(),
            system: QUESTION.into(),
            messages: vec![ChatMessage::user(last.text.chars().take(LOOK).collect::<String>())],
            tools: [].into(),
            tool_use: Tools::Withheld,
            max_tokens: 16,
        };
        let paying = self.budgets.as_ref().map(|budgets| {
            let (person, conversation) = (request.principal().map(|of| of.user.as_str()), Some(request.paid_by()));
            (budgets, Paying { person, conversation, call: format!("tier:{}", request.turn), tier: Tier::Low })
        });
        // Nobody watches this answer come in.
        let sorted = spending::call(model.as_ref(), &question, paying, |_| true);
        match tokio::time::timeout(PATIENCE, sorted).await {
            Ok(Ok(answer)) => parse_classification(&answer.text),
            Ok(Err(err)) => {
                debug!(error = %err, "the tier was not chosen; taking the default");
                self.default
            }
            Err(_) => self.default,
        }
    }
}
