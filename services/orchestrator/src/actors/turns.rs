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
use crate::offered::Offered;

/// How a turn ended for this replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Its reply is stored and sent out.
    Finished,
    /// Another runs it, from the same work item, and settles that.
    Elsewhere,
    /// Another runs it, from an item of its own: this one is one too many.
    Redundant,
    /// It runs here, from another item, and may have lost the turn without having
    /// heard of it: what this item is, is known when that has ended.
    Busy,
}

pub(crate) enum TurnsMsg {
    Run {
        context: Box<TurnContext>,
        delivered: Delivered,
        done: RpcReplyPort<Settled>,
    },
    Abandon(TurnId),
    /// Something that turns here, or elsewhere, are told.
    Signal(TurnSignal),
}

/// How a turn's work item came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// Where the item stands in its stream.
    pub(crate) item: u64,
    /// Whether somebody may have worked on it before.
    pub(crate) again: bool,
}

impl Delivered {
    /// What becomes of this item when the turn's owner works from `other`; 0 is
    /// an item that is not known.
    pub(crate) fn beside(self, other: u64) -> Settled {
        if other == 0 || other == self.item { Settled::Elsewhere } else { Settled::Redundant }
    }
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
    pub(crate) async fn run(&self, context: TurnContext, delivered: Delivered) -> Option<Settled> {
        let context = Box::new(context);
        // No deadline here: the turn has its own, for every thing it waits for.
        match self.0.call(|done| TurnsMsg::Run { context, delivered, done }, None).await {
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
    turns: HashMap<TurnId, Here>,
    ids: HashMap<ActorId, TurnId>,
    offered: Offered,
}

/// A turn that runs in this process.
struct Here {
    item: u64,
    actor: ActorRef<TurnMsg>,
    shown: watch::Receiver<Snapshot>,
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
        Ok(Running { _hearing, turns: HashMap::new(), ids: HashMap::new(), offered: Offered::default() })
    }

    async fn handle(
        &self,
        me: ActorRef<TurnsMsg>,
        msg: TurnsMsg,
        state: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            TurnsMsg::Run { context, delivered, done } => self.on_run(&me, state, context, delivered, done).await,
            TurnsMsg::Abandon(turn) => {
                if let Some(running) = state.turns.get(&turn) {
                    running.actor.kill();
                }
                Ok(())
            }
            TurnsMsg::Signal(TurnSignal::Stopped(turn)) => {
                if let Some(running) = state.turns.get(&turn) {
                    // It may have ended in this moment.
                    let _ = running.actor.cast(TurnMsg::StopHeard);
                }
                Ok(())
            }
            TurnsMsg::Signal(TurnSignal::SnapshotAsked(turn, question)) => {
                if let Some(running) = state.turns.get(&turn) {
                    let snapshot = running.shown.borrow().clone();
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
        mut context: Box<TurnContext>,
        delivered: Delivered,
        done: RpcReplyPort<Settled>,
    ) -> Result<(), ActorProcessingErr> {
        let turn = context.request.turn;
        if let Some(running) = state.turns.get(&turn) {
            let settled = match delivered.beside(running.item) {
                Settled::Redundant => Settled::Busy,
                other => other,
            };
            // The process may be stopping.
            let _ = done.send(settled);
            return Ok(());
        }
        context.tools = state.offered.share(context.tools);
        context.later = state.offered.share(context.later);
        let context = Arc::from(context);
        let (shown, watched) = watch::channel(Snapshot::default());
        let begin = Begin { context, delivered, shown, done };
        let actor = Turn { with: Arc::clone(&self.collaborators) };
        match Actor::spawn_linked(None, actor, begin, me.get_cell()).await {
            Ok((running, _)) => {
                state.ids.insert(running.get_id(), turn);
                state.turns.insert(turn, Here { item: delivered.item, actor: running, shown: watched });
            }
            // Its delivery comes again; the other turns go on.
            Err(err) => warn!(%turn, error = %err, "failed to start a turn"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_item_that_its_owner_does_not_work_from_is_one_too_many() {
        let delivered = Delivered { item: 7, again: false };
        assert_eq!(delivered.beside(7), Settled::Elsewhere, "its owner settles it, or it comes back");
        assert_eq!(delivered.beside(0), Settled::Elsewhere, "an older build's claim says nothing");
        assert_eq!(delivered.beside(9), Settled::Redundant);
    }
}
