//! Asking the model, a step at a time.

use std::sync::Arc;

use domain::chat::Answer;
use domain::decide::{self, Tools};
use domain::journal::Entry;
use domain::tier::Tier;
use model::{ChatRequest, ModelError, Progress};
use proto::live::Activity;
use ractor::ActorRef;
use service_kit::crash::{CrashPoint, crash_point};
use tracing::{Instrument, info_span, warn};

use super::{Handled, State, Turn, TurnMsg, hear};

impl Turn {
    /// Gathers the start of a step, and gives what the model is asked.
    pub(super) fn request(&self, state: &mut State, step: u32, tier: Tier, tools: Tools) -> ChatRequest {
        let context = Arc::clone(state.context());
        let model = context.request.model.clone().unwrap_or_else(|| self.with.models.model(tier).to_owned());
        let max_tokens = self.with.models.max_tokens;
        let request = decide::request(state.draft.state(), &context, step, model.clone(), tools, max_tokens);
        let request_hash = request.hash();
        state.draft.gather([Entry::StepStarted { step, tier, model, request_hash, tools, max_tokens }]);
        request
    }

    pub(super) async fn ask_model(
        &self,
        me: &ActorRef<TurnMsg>,
        state: &mut State,
        step: u32,
        tier: Tier,
        request: ChatRequest,
    ) -> Handled {
        state.show.begin_step(state.draft.epoch(), step);
        let resumed = state.draft.epoch() > 1 && state.asking.is_none() && step == 0;
        state.show.status(if resumed { Activity::Resuming } else { Activity::Thinking }).await;
        let span = info_span!("chat", gen_ai.request.model = request.model, step);
        let paying = self.with.budgets.clone().map(|budgets| (budgets, Arc::clone(state.context()), tier));
        let asking = hear::model(Arc::clone(&self.with.model), me.clone(), step, request, paying).instrument(span);
        state.asking = Some(hear::spawn("ask-model", asking));
        Ok(())
    }

    pub(super) async fn on_model_progressed(&self, state: &mut State, progress: Progress) -> Handled {
        if state.asking.is_none() {
            return Ok(());
        }
        match progress {
            Progress::Text(tail) => {
                state.show.text(tail).await;
                crash_point(CrashPoint::MidStream);
            }
            Progress::Retrying { why } => state.show.status(Activity::Retrying { detail: why }).await,
        }
        Ok(())
    }

    pub(super) async fn on_model_replied(
        &self,
        me: &ActorRef<TurnMsg>,
        state: &mut State,
        step: u32,
        reply: Result<Answer, ModelError>,
    ) -> Handled {
        // A call that was ended for a stop may have answered in that moment.
        if state.asking.take().is_none() {
            return Ok(());
        }
        state.draft.gather([match reply {
            Ok(answer) => Entry::ModelAnswered { step, answer },
            Err(err) => {
                warn!(fault = err.fault.as_str(), detail = err.detail, "the model gave no answer");
                Entry::ModelFailed { step, fault: err.fault }
            }
        }]);
        self.advance(me, state).await
    }
}
