//! Time travel: from a journal to the exact requests that the model was given.

use std::sync::Arc;

use crate::chat::ChatMessage;
use crate::decide::{self, Tools};
use crate::journal::{Entry, Record, TurnState};
use crate::tier::Tier;
use crate::tool::ToolSpec;

/// One question to the model, as the journal says that it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub step: u32,
    /// Which claim asked: the same step may be asked again after a crash.
    pub epoch: u32,
    pub tier: Tier,
    pub model: String,
    pub system: Arc<str>,
    pub messages: Vec<ChatMessage>,
    pub tools: Arc<[ToolSpec]>,
    pub tool_use: Tools,
    pub max_tokens: u32,
    /// What was recorded when it was asked.
    pub recorded_hash: String,
    /// What the rebuilt request hashes to.
    pub rebuilt_hash: String,
}

impl Asked {
    /// Whether the rebuilt request is the one that was put.
    pub fn is_exact(&self) -> bool {
        self.recorded_hash == self.rebuilt_hash
    }
}

/// Rebuilds every question of a turn from its journal.
pub fn questions(records: &[Record]) -> Vec<Asked> {
    let (mut state, mut asked) = (TurnState::default(), Vec::new());
    for record in records {
        for entry in &record.entries {
            if let (Entry::StepStarted { step, tier, model, request_hash, tools, max_tokens }, Some(context)) =
                (entry, state.context.as_deref())
            {
                // What came in later was not read by a step that was taken over.
                let carried = record.carries(*step).then(|| {
                    let mut then = state.clone();
                    then.injected.retain(|injected| injected.step.is_some());
                    then
                });
                let messages = decide::messages(carried.as_ref().unwrap_or(&state), context, *step, *tools);
                asked.push(Asked {
                    step: *step,
                    epoch: record.epoch,
                    tier: *tier,
                    model: model.clone(),
                    rebuilt_hash: decide::request_hash(model, context, &messages, *tools, *max_tokens),
                    system: Arc::clone(&context.system),
                    messages,
                    tools: Arc::clone(&context.tools),
                    tool_use: *tools,
                    max_tokens: *max_tokens,
                    recorded_hash: request_hash.clone(),
                });
            }
            state.apply_entry(record, entry);
        }
    }
    asked
}
