//! Runs one turn: stores, asks, tells; what comes next is decided elsewhere.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, JournalStore, Subject};
use domain::carry::{Origin, carry};
use domain::chat::Answer;
use domain::decide::{self, Next, Tools, TurnLimits, decide};
use domain::ids::CallId;
use domain::journal::{Call, Entry, Record};
use domain::tier::Tier;
use domain::tool::Outcome;
use domain::tool_search;
use domain::turn::{Reply, TurnContext};
use model::{ChatModel, ChatRequest, ModelConfig, ModelError, Progress};
use proto::Wire;
use proto::live::{Activity, Snapshot};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, async_trait};
use service_kit::crash::{CrashPoint, crash_point};
use service_kit::task::{self, TaskKind};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, info, info_span, warn};

use super::turns::{Delivered, Settled};
use crate::draft::{Draft, Stored};
use crate::searching;
use crate::show::Show;
use crate::tools::{Heard, ToolCalls};
use spending::Budgets;

mod hear; // What a turn hears while it runs.

/// Longest reply that is sent out, in bytes: it must fit into one message.
const REPLY_BYTES: usize = 512 * 1024;

/// What a turn hears.
pub(crate) enum TurnMsg {
    Begin,
    ModelProgressed(Progress),
    ModelReplied {
        step: u32,
        reply: Result<Answer, ModelError>,
    },
    ToolReplied(CallId, Outcome),
    /// How far a call says that it is.
    ToolProgressed(String),
    /// Time to look after calls whose result was not heard.
    LookAfterTools,
    StopHeard,
}

/// Whom a turn works with.
pub(crate) struct Collaborators {
    pub(crate) bus: Bus,
    pub(crate) journals: JournalStore,
    pub(crate) model: Arc<dyn ChatModel>,
    /// What people may spend, if that is limited.
    pub(crate) budgets: Option<Arc<Budgets>>,
    /// What prompts carry of tools, at most, in tokens.
    pub(crate) tool_tokens: usize,
    pub(crate) models: ModelConfig,
    pub(crate) tools: ToolCalls,
    pub(crate) limits: TurnLimits,
    /// How long a turn may go on asking for tools.
    pub(crate) time: Duration,
}

/// What a turn begins with.
pub(crate) struct Begin {
    pub(crate) context: Arc<TurnContext>,
    pub(crate) delivered: Delivered,
    /// What it shows, for whoever asks.
    pub(crate) shown: watch::Sender<Snapshot>,
    pub(crate) done: RpcReplyPort<Settled>,
}

pub(crate) struct Turn {
    pub(crate) with: Arc<Collaborators>,
}

pub(crate) struct State {
    context: Arc<TurnContext>,
    delivered: Delivered,
    draft: Draft,
    show: Show,
    begun: Instant,
    done: Option<RpcReplyPort<Settled>>,
    /// The model call in flight; dropping it ends the call.
    asking: Option<AbortOnDropHandle<()>>,
    /// When each open call was asked for.
    asked: HashMap<CallId, Instant>,
    watches: Vec<AbortOnDropHandle<()>>,
    hears_tools: bool,
}

type Handled = Result<(), ActorProcessingErr>;

#[async_trait]
impl Actor for Turn {
    type Msg = TurnMsg;
    type State = State;
    type Arguments = Begin;

    async fn pre_start(&self, me: ActorRef<TurnMsg>, begin: Begin) -> Result<State, ActorProcessingErr> {
        let Begin { context, delivered, shown, done } = begin;
        let request = &context.request;
        let journals = &self.with.journals;
        // Nothing here may fail or wait: it would hold up the parent.
        let journal = journals.assume_empty(&request.conversation, request.turn);
        let draft = Draft::new(journals.clone(), request.conversation.clone(), journal, delivered.item);
        let show = Show::new(self.with.bus.clone(), &request.route, request.conversation.clone(), request.turn, shown);
        me.cast(TurnMsg::Begin)?;
        Ok(State {
            context,
            delivered,
            draft,
            show,
            begun: Instant::now(),
            done: Some(done),
            asking: None,
            asked: HashMap::new(),
            watches: Vec::new(),
            hears_tools: false,
        })
    }

    async fn handle(&self, me: ActorRef<TurnMsg>, msg: TurnMsg, state: &mut State) -> Handled {
        match msg {
            TurnMsg::Begin => self.on_begin(&me, state).await,
            TurnMsg::ModelProgressed(progress) => self.on_model_progressed(state, progress).await,
            TurnMsg::ModelReplied { step, reply } => self.on_model_replied(&me, state, step, reply).await,
            TurnMsg::ToolReplied(call, outcome) => self.on_tool_replied(&me, state, call, outcome).await,
            TurnMsg::ToolProgressed(text) => {
                state.show.status(Activity::ToolProgressed { text }).await;
                Ok(())
            }
            TurnMsg::LookAfterTools => self.on_look_after_tools(&me, state).await,
            TurnMsg::StopHeard => self.on_stop_heard(&me, state).await,
        }
    }
}

impl Turn {
    async fn on_begin(&self, me: &ActorRef<TurnMsg>, state: &mut State) -> Handled {
        if state.delivered.again {
            state.draft.refresh().await?;
        }
        self.advance(me, state).await
    }

    /// Goes on until something has to be waited for.
    async fn advance(&self, me: &ActorRef<TurnMsg>, state: &mut State) -> Handled {
        loop {
            if state.draft.state().is_stopped() && state.draft.state().reply.is_none() {
                self.halt(state).await?;
            }
            let stored = match decide(state.draft.state(), &self.with.limits) {
                Next::NoContext => {
                    let first = self.first_entries(&state.context).await?;
                    state.draft.gather(first);
                    continue;
                }
                Next::Plan(entries) => {
                    state.draft.gather(entries);
                    continue;
                }
                Next::Conclude(reply) => {
                    state.draft.gather([Entry::ReplyReady(Box::new(bounded(*reply)))]);
                    continue;
                }
                Next::AskModel { tools: Tools::Offered, .. } if self.is_out_of_time(state) => {
                    let reason = format!("the turn has taken more than {:?}", self.with.time);
                    state.draft.gather([Entry::ToolsEnded { reason }]);
                    continue;
                }
                Next::AskModel { step, tier, tools } => {
                    let request = self.request(state, step, tier, tools);
                    match state.draft.store().await? {
                        Stored::Yes => return self.ask_model(me, state, step, tier, request).await,
                        other => other,
                    }
                }
                Next::AwaitTools(open) => {
                    let stored = if state.draft.holds_decisions() { state.draft.store().await? } else { Stored::Yes };
                    match stored {
                        Stored::Yes => return self.ask_tools(me, state, open).await,
                        other => other,
                    }
                }
                Next::Deliver(reply) => match state.draft.store().await? {
                    Stored::Yes => {
                        crash_point(CrashPoint::ReplyReady);
                        // Nothing is stored after it: whoever runs the turn again
                        // finds the reply, and sends it under the same id.
                        self.deliver(&reply).await?;
                        return self.settle(me, state, Settled::Finished);
                    }
                    other => other,
                },
                Next::Done => match state.draft.store().await? {
                    Stored::Yes => {
                        // A turn that was finished before is run again when its
                        // end did not reach the router: it is told once more.
                        if let Some(reply) = &state.draft.state().reply {
                            self.deliver(reply).await?;
                        }
                        return self.settle(me, state, Settled::Finished);
                    }
                    other => other,
                },
            };
            if let Stored::Lost { item } = stored {
                info!("another replica owns this turn");
                return self.settle(me, state, state.delivered.beside(item));
            }
        }
    }

    /// What the turn works from: its own context, or what it takes over from the
    /// turn that it goes on from.
    async fn first_entries(&self, context: &Arc<TurnContext>) -> Result<Vec<Entry>, ActorProcessingErr> {
        let own = vec![Entry::ContextFixed(Arc::clone(context))];
        let Some(Origin { conversation, turn, carry: how }) = &context.request.origin else { return Ok(own) };
        let refuse = |text: &str| {
            warn!(%turn, text, "a turn cannot go on from another");
            let reply = decide::refusal(context, text);
            Ok([own.clone(), vec![Entry::ReplyReady(Box::new(reply))]].concat())
        };
        let old = self.with.journals.read(conversation, *turn).await?;
        let of = old.state().context.as_ref().and_then(|context| context.request.principal().cloned());
        let by = context.request.principal();
        // Whoever goes on from a turn reads what it was told.
        if of.as_ref().zip(by).is_none_or(|(of, by)| (&of.user, &of.tenant) != (&by.user, &by.tenant)) {
            return refuse("There is no such turn of yours to go on from.");
        }
        let Some(entries) = carry(old.state(), context, *how) else {
            return refuse("There is nothing to go on from in that turn.");
        };
        let first = Record { epoch: 0, at_ms: 0, entries };
        // They are stored by one append, with what claiming adds.
        if first.to_wire().len() > self.with.bus.max_payload() / 10 * 9 {
            return refuse("What that turn had found is too large to go on from.");
        }
        Ok(first.entries)
    }

    /// Whether the next answer must be the last. The first one is never late.
    fn is_out_of_time(&self, state: &State) -> bool {
        !state.draft.state().steps.is_empty()
            && state.draft.state().tools_ended.is_none()
            && state.begun.elapsed() > self.with.time
    }

    /// Gathers the start of a step, and gives what the model is asked.
    fn request(&self, state: &mut State, step: u32, tier: Tier, tools: Tools) -> ChatRequest {
        // What the journal fixed, which another delivery's context may not be.
        let context = state.draft.state().context.as_deref().unwrap_or(&state.context);
        let model = context.request.model.clone().unwrap_or_else(|| self.with.models.model(tier).to_owned());
        let max_tokens = self.with.models.max_tokens;
        let request = decide::request(state.draft.state(), context, step, model.clone(), tools, max_tokens);
        let request_hash = request.hash();
        state.draft.gather([Entry::StepStarted { step, tier, model, request_hash, tools, max_tokens }]);
        request
    }

    async fn ask_model(
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
        let paying = self.with.budgets.clone().map(|budgets| (budgets, Arc::clone(&state.context), tier));
        let asking = hear::model(Arc::clone(&self.with.model), me.clone(), step, request, paying).instrument(span);
        state.asking = Some(hear::spawn("ask-model", asking));
        Ok(())
    }

    async fn on_model_progressed(&self, state: &mut State, progress: Progress) -> Handled {
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

    async fn on_model_replied(
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

    async fn ask_tools(&self, me: &ActorRef<TurnMsg>, state: &mut State, open: Vec<Call>) -> Handled {
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
                let (bus, tools, me) = (self.with.bus.clone(), Arc::clone(&state.context.later), me.clone());
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
            self.with.tools.ask(&state.context, &call).await?;
        }
        Ok(())
    }

    async fn on_tool_replied(
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
    async fn on_look_after_tools(&self, me: &ActorRef<TurnMsg>, state: &mut State) -> Handled {
        for call in open_calls(state) {
            let Some(asked) = state.asked.get(&call.id) else { continue };
            let heard = self.with.tools.look(&call).await?;
            let patience = self.with.tools.patience(&state.context, &call);
            let outcome = match heard {
                Heard::Done(outcome) => outcome,
                Heard::Nothing | Heard::Started if asked.elapsed() < patience => continue,
                Heard::Nothing | Heard::Started => self.with.tools.end(&call, "it gave no result in time").await?,
            };
            self.on_tool_replied(me, state, call.id, outcome).await?;
        }
        Ok(())
    }

    async fn on_stop_heard(&self, me: &ActorRef<TurnMsg>, state: &mut State) -> Handled {
        state.asking = None;
        match state.draft.refresh().await? {
            Stored::Lost { item } => self.settle(me, state, state.delivered.beside(item)),
            Stored::Yes | Stored::Changed => self.advance(me, state).await,
        }
    }

    /// Ends what is in flight, so that nothing begins after the stop.
    async fn halt(&self, state: &mut State) -> Handled {
        state.asking = None;
        for call in open_calls(state) {
            let outcome = self.with.tools.end(&call, "the turn was stopped").await?;
            state.draft.gather([Entry::ToolFinished { call: call.id, outcome }]);
        }
        Ok(())
    }

    async fn deliver(&self, reply: &Reply) -> Handled {
        let id = format!("{}:reply", reply.turn);
        self.with.bus.store(Subject::Outbound(&reply.route.platform, &reply.conversation), &id, reply).await?;
        Ok(())
    }

    fn settle(&self, me: &ActorRef<TurnMsg>, state: &mut State, settled: Settled) -> Handled {
        if let (Settled::Finished, Some(reply)) = (settled, &state.draft.state().reply) {
            let elapsed_ms = u64::try_from(state.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            info!(
                turn = %reply.turn,
                outcome = ?reply.kind,
                steps = state.draft.state().steps.len(),
                tool_calls = reply.tool_calls,
                input_tokens = reply.usage.input_tokens,
                output_tokens = reply.usage.output_tokens,
                elapsed_ms,
                "finished a turn"
            );
        }
        if let Some(done) = state.done.take() {
            // The delivery may have been handed over meanwhile.
            let _ = done.send(settled);
        }
        me.stop(None);
        Ok(())
    }
}

fn open_calls(state: &State) -> Vec<Call> {
    state.draft.state().calls().filter(|call| call.outcome.is_none()).cloned().collect()
}

/// A reply that fits into one message of the bus.
fn bounded(mut reply: Reply) -> Reply {
    if reply.text.len() > REPLY_BYTES {
        reply.text = domain::guard::cut_middle(&reply.text, REPLY_BYTES / 4);
    }
    reply
}

/// How often calls without a result are looked after.
const LOOK: Duration = Duration::from_secs(2);
