//! Time travel: from a journal to the exact requests that the model was given.

use crate::chat::ChatRequest;
use crate::decide;
use crate::journal::{Entry, Record, TurnState};
use crate::tier::Tier;

/// One question to the model, as the journal says that it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub step: u32,
    /// Which claim asked: the same step may be asked again after a crash.
    pub epoch: u32,
    pub tier: Tier,
    /// The request as the journal gives it.
    pub request: ChatRequest,
    /// What it hashes to.
    pub rebuilt_hash: String,
    /// What was recorded when it was put.
    pub recorded_hash: String,
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
                let then = carried.as_ref().unwrap_or(&state);
                let request = decide::request(then, context, *step, model.clone(), *tools, *max_tokens);
                asked.push(Asked {
                    step: *step,
                    epoch: record.epoch,
                    tier: *tier,
                    rebuilt_hash: request.hash(),
                    recorded_hash: request_hash.clone(),
                    request,
                });
            }
            state.apply_entry(record, entry);
        }
    }
    asked
}
