//! Runs one turn: stores, asks, tells; what comes next is decided elsewhere.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, JournalStore, Subject};
use domain::chat::Answer;
use domain::decide::{Next, Tools, TurnLimits, decide};
use domain::ids::CallId;
use domain::journal::Entry;
use domain::tool::Outcome;
use domain::turn::{Reply, TurnContext};
use model::{ChatModel, ModelConfig, ModelError, Progress};
use proto::live::{Activity, Snapshot};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, async_trait};
use service_kit::crash::{CrashPoint, crash_point};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use super::turns::{Delivered, Settled};
use crate::draft::{Draft, Stored};
use crate::show::Show;
use crate::tools::ToolCalls;
use spending::Budgets;

mod asking; // Asking the model.
mod beginning; // What it works from.
mod calls; // The calls of tools that it makes.
mod hear; // What it hears while it runs.

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

impl State {
    /// What the journal fixed that the turn works from, which another delivery's context may not be.
    fn context(&self) -> &Arc<TurnContext> {
        self.draft.state().context.as_ref().unwrap_or(&self.context)
    }

    fn has_open_calls(&self) -> bool {
        self.draft.state().calls().any(|call| call.outcome.is_none())
    }
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
                // What it leaves behind is ended with it: nothing begins after it.
                Next::Conclude(_) if state.has_open_calls() => {
                    self.give_up(state).await?;
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
                    // Results of many calls need not fit into one record.
                    let is_much = state.draft.gathered_bytes() > self.with.bus.max_payload() / 4;
                    let stored = match state.draft.holds_decisions() || is_much {
                        true => state.draft.store().await?,
                        false => Stored::Yes,
                    };
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

    /// Whether the next answer must be the last. The first one is never late.
    fn is_out_of_time(&self, state: &State) -> bool {
        !state.draft.state().steps.is_empty()
            && state.draft.state().tools_ended.is_none()
            && state.begun.elapsed() > self.with.time
    }

    async fn on_stop_heard(&self, me: &ActorRef<TurnMsg>, state: &mut State) -> Handled {
        match state.draft.refresh().await? {
            Stored::Lost { item } => self.settle(me, state, state.delivered.beside(item)),
            // A word to the runners of a turn that was given up is none to the turn.
            Stored::Yes | Stored::Changed if !state.draft.state().is_stopped() => Ok(()),
            Stored::Yes | Stored::Changed => {
                state.asking = None;
                self.advance(me, state).await
            }
        }
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

/// A reply that fits into one message of the bus.
fn bounded(mut reply: Reply) -> Reply {
    if reply.text.len() > REPLY_BYTES {
        reply.text = domain::guard::cut_middle(&reply.text, REPLY_BYTES / 4);
    }
    reply
}
