//! Starts turns, and knows which run here: at most one actor a turn.

use std::collections::HashMap;
use std::sync::Arc;

use bus::TurnSignal;
use domain::ids::TurnId;
use domain::turn::TurnContext;
use proto::live::Snapshot;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent, async_trait};
use service_kit::task::{self, TaskKind};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use super::turn::{Begin, Collaborators, Turn, TurnMsg};

/// How a turn ended for this replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Its reply is stored and sent out.
    Finished,
    /// Another owner runs it.
    Elsewhere,
}

pub(crate) enum TurnsMsg {
    Run {
        context: Arc<TurnContext>,
        again: Again,
        done: RpcReplyPort<Settled>,
    },
    Abandon(TurnId),
    /// Something that turns here, or elsewhere, are told.
    Signal(TurnSignal),
}

/// Whether somebody may have worked on a turn before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    First,
    Redelivered,
}

/// The turns that run in this process.
#[derive(Clone)]
pub(crate) struct Turns(ActorRef<TurnsMsg>);

impl Turns {
    /// Starts the parent; whoever holds the handle sees it end.
    pub(crate) async fn start(collaborators: Arc<Collaborators>) -> anyhow::Result<(Self, JoinHandle<()>)> {
        let (parent, ended) = Actor::spawn(None, Parent { collaborators }, ()).await?;
        Ok((Self(parent), ended))
    }

    /// Runs a turn to its end. `None`: its actor failed; deliver it again.
    pub(crate) async fn run(&self, context: TurnContext, redelivered: bool) -> Option<Settled> {
        let again = if redelivered { Again::Redelivered } else { Again::First };
        let context = Arc::new(context);
        // No deadline here: the turn has its own, for every thing it waits for.
        match self.0.call(|done| TurnsMsg::Run { context, again, done }, None).await {
            Ok(ractor::rpc::CallResult::Success(settled)) => Some(settled),
            Ok(ractor::rpc::CallResult::Timeout | ractor::rpc::CallResult::SenderError) | Err(_) => None,
        }
    }

    /// Drops a turn here, so that another replica can go on with it.
    pub(crate) fn abandon(&self, turn: TurnId) {
        // The parent may be gone when the process is stopping.
        let _ = self.0.cast(TurnsMsg::Abandon(turn));
    }

    pub(crate) fn stop(&self) {
        self.0.stop(None);
    }
}

struct Parent {
    collaborators: Arc<Collaborators>,
}

struct Running {
    _hearing: AbortOnDropHandle<()>,
    turns: HashMap<TurnId, (ActorRef<TurnMsg>, watch::Receiver<Snapshot>)>,
    ids: HashMap<ActorId, TurnId>,
}

impl Running {
    fn forget(&mut self, id: ActorId) -> Option<TurnId> {
        let turn = self.ids.remove(&id)?;
        self.turns.remove(&turn);
        Some(turn)
    }
}

#[async_trait]
impl Actor for Parent {
    type Msg = TurnsMsg;
    type State = Running;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<TurnsMsg>, (): ()) -> Result<Running, ActorProcessingErr> {
        let mut signals = self.collaborators.bus.watch_turns().await?;
        let hearing = task::spawn(TaskKind::Watch, "hear-signals", async move {
            while let Some(signal) = signals.next().await {
                if me.cast(TurnsMsg::Signal(signal)).is_err() {
                    return;
                }
            }
        });
        let _hearing = AbortOnDropHandle::new(hearing);
        Ok(Running { _hearing, turns: HashMap::new(), ids: HashMap::new() })
    }

    async fn handle(
        &self,
        me: ActorRef<TurnsMsg>,
        msg: TurnsMsg,
        state: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            TurnsMsg::Run { context, again, done } => self.on_run(&me, state, context, again, done).await,
            TurnsMsg::Abandon(turn) => {
                if let Some((running, _)) = state.turns.get(&turn) {
                    running.kill();
                }
                Ok(())
            }
            TurnsMsg::Signal(TurnSignal::Stopped(turn)) => {
                if let Some((running, _)) = state.turns.get(&turn) {
                    // It may have ended in this moment.
                    let _ = running.cast(TurnMsg::StopHeard);
                }
                Ok(())
            }
            TurnsMsg::Signal(TurnSignal::SnapshotAsked(turn, question)) => {
                if let Some((_, shown)) = state.turns.get(&turn) {
                    let snapshot = shown.borrow().clone();
                    self.collaborators.bus.answer_snapshot(question, &snapshot).await;
                }
                Ok(())
            }
        }
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<TurnsMsg>,
        event: SupervisionEvent,
        state: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            // The bus delivers the turn again: that is the restart, and the
            // journal's count of fruitless claims is its budget.
            SupervisionEvent::ActorFailed(child, err) => {
                if let Some(turn) = state.forget(child.get_id()) {
                    warn!(%turn, error = %err, "a turn failed here; it will be delivered again");
                }
            }
            SupervisionEvent::ActorTerminated(child, ..) => {
                if let Some(turn) = state.forget(child.get_id()) {
                    debug!(%turn, "a turn ended here");
                }
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl Parent {
    async fn on_run(
        &self,
        me: &ActorRef<TurnsMsg>,
        state: &mut Running,
        context: Arc<TurnContext>,
        again: Again,
        done: RpcReplyPort<Settled>,
    ) -> Result<(), ActorProcessingErr> {
        let turn = context.request.turn;
        if state.turns.contains_key(&turn) {
            // The one that runs here settles it; this delivery comes back later.
            let _ = done.send(Settled::Elsewhere);
            return Ok(());
        }
        let (shown, watched) = watch::channel(Snapshot::default());
        let begin = Begin { context, again, shown, done };
        let actor = Turn { with: Arc::clone(&self.collaborators) };
        match Actor::spawn_linked(None, actor, begin, me.get_cell()).await {
            Ok((running, _)) => {
                state.ids.insert(running.get_id(), turn);
                state.turns.insert(turn, (running, watched));
            }
            // Its delivery comes again; the other turns go on.
            Err(err) => warn!(%turn, error = %err, "failed to start a turn"),
        }
        Ok(())
    }
}
