//! The calls of tools that a turn makes: asked for, heard of, looked after, ended.

use std::sync::Arc;

use domain::decide;
use domain::ids::CallId;
use domain::journal::{Call, Entry, Record};
use domain::tool::{Consent, Outcome, OutcomeKind, ToolSpec};
use domain::tool_search;
use proto::live::{Activity, StopTurn};
use ractor::{ActorProcessingErr, ActorRef};
use service_kit::crash::{CrashPoint, crash_point};
use service_kit::task::{self, TaskKind};
use tokio::time::Instant;

use super::{Handled, State, Turn, TurnMsg, hear};
use crate::searching;
use crate::tools::Heard;

impl Turn {
    pub(super) async fn ask_tools(&self, me: &ActorRef<TurnMsg>, state: &mut State, open: Vec<Call>) -> Handled {
        if !state.hears_tools {
            let results = self.with.tools.listen(state.context.request.turn).await?;
            state.watches.extend(hear::tools(results, me));
            let progress = self.with.bus.watch_tool_progress(state.context.request.turn).await?;
            state.watches.push(hear::progress(progress, me));
            state.hears_tools = true;
        }
        let of_step = open.first().and_then(|call| state.draft.state().steps.get(usize::try_from(call.id.step).ok()?));
        let searches =
            of_step.map_or(1, |step| step.calls.iter().filter(|call| searching::is_one(call)).count().max(1));
        for call in open {
            if state.asked.contains_key(&call.id) {
                continue;
            }
            state.asked.insert(call.id, Instant::now());
            state.show.status(Activity::ToolStarted { tool: call.name.clone() }).await;
            if searching::is_one(&call) {
                let (bus, me) = (self.with.bus.clone(), me.clone());
                let usable = state.context().later.iter().filter(|tool| tool.consent != Consent::Barred);
                let tools: Arc<[ToolSpec]> = usable.cloned().collect();
                let found = decide::found(state.draft.state(), call.id.step);
                let found: Vec<String> = found.into_iter().map(str::to_owned).collect();
                // Those that run side by side share what there is.
                let share = tool_search::share(self.with.tool_tokens) / searches;
                task::spawn(TaskKind::Work, "search-tools", async move {
                    let outcome = searching::search(&bus, &tools, &found, share, &call).await;
                    // The turn may be over.
                    let _ = me.cast(TurnMsg::ToolReplied(call.id, outcome));
                });
                continue;
            }
            // A former owner may have asked already, and the result be there.
            if state.draft.epoch() > 1
                && let Heard::Done(outcome) = self.with.tools.look(&call).await?
            {
                me.cast(TurnMsg::ToolReplied(call.id, outcome))?;
                continue;
            }
            crash_point(CrashPoint::ToolIntended);
            self.with.tools.ask(state.context(), &call).await?;
        }
        Ok(())
    }

    pub(super) async fn on_tool_replied(
        &self,
        me: &ActorRef<TurnMsg>,
        state: &mut State,
        id: CallId,
        outcome: Outcome,
    ) -> Handled {
        let open = state.draft.state().calls().find(|call| call.id == id && call.outcome.is_none());
        let Some(tool) = open.map(|call| call.name.clone()) else { return Ok(()) };
        crash_point(CrashPoint::ToolDone);
        state.asked.remove(&id);
        state.show.status(Activity::ToolFinished { tool }).await;
        state.draft.gather([Entry::ToolFinished { call: id, outcome }]);
        self.advance(me, state).await
    }

    /// A result may be recorded and not heard, or never come.
    pub(super) async fn on_look_after_tools(&self, me: &ActorRef<TurnMsg>, state: &mut State) -> Handled {
        for call in open_calls(state) {
            let Some(asked) = state.asked.get(&call.id) else { continue };
            let heard = self.with.tools.look(&call).await?;
            let patience = self.with.tools.patience(state.context(), &call);
            let outcome = match heard {
                Heard::Done(outcome) => outcome,
                Heard::Nothing | Heard::Started if asked.elapsed() < patience => continue,
                Heard::Nothing | Heard::Started => self.with.tools.end(&call, "it gave no result in time").await?,
            };
            self.on_tool_replied(me, state, call.id, outcome).await?;
        }
        Ok(())
    }

    /// Ends what is in flight, so that nothing begins after the stop.
    pub(super) async fn halt(&self, state: &mut State) -> Handled {
        state.asking = None;
        let ended = self.end_calls(state, "the turn was stopped").await?;
        state.draft.gather(ended);
        Ok(())
    }

    /// Ends a turn that does not get on, with what is in flight: the two are one decision.
    pub(super) async fn give_up(&self, state: &mut State) -> Handled {
        let ended = self.end_calls(state, "the turn was given up").await?;
        let mut then = state.draft.state().clone();
        then.apply(&Record { epoch: then.epoch, at_ms: 0, entries: ended.clone() });
        let reply = super::bounded(decide::given_up(&then, state.context()));
        state.draft.gather(ended.into_iter().chain([Entry::ReplyReady(Box::new(reply))]));
        Ok(())
    }

    /// Ends every open call; what came of each.
    async fn end_calls(&self, state: &State, why: &str) -> Result<Vec<Entry>, ActorProcessingErr> {
        let (mut ended, mut runs) = (Vec::new(), false);
        for call in open_calls(state) {
            let outcome = self.with.tools.end(&call, why).await?;
            runs |= matches!(outcome.kind, OutcomeKind::Failed | OutcomeKind::Unknown);
            ended.push(Entry::ToolFinished { call: call.id, outcome });
        }
        if runs {
            // One that was handed out as the stop came did not hear it.
            let known = state.draft.state();
            let by = known.stops.first().or(known.interrupted.as_ref()).cloned();
            let first = || state.context().request.messages.first().map(|message| message.id.clone());
            if let Some(stop) = by.or_else(first) {
                self.with.bus.tell_control(state.context().request.turn, &StopTurn { stop }).await;
            }
        }
        Ok(ended)
    }
}

fn open_calls(state: &State) -> Vec<Call> {
    state.draft.state().calls().filter(|call| call.outcome.is_none()).cloned().collect()
}
