//! The servers that run in this process: one actor each, so that the end of one is
//! nobody else's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::mcp::{Launch, Status};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent, async_trait};
use tokio::task::JoinHandle;
use tracing::warn;

use super::server::{Connected, Link, Server, ServerMsg};
use crate::ports::{Connector, Installations, Installed, Key};

/// How long whoever calls waits for a server to start: longer than it may take.
const PATIENCE: Duration = Duration::from_secs(70);

pub(super) enum ServersMsg {
    /// The actor of a server, which is there from now on.
    Of(Key, Launch, RpcReplyPort<ActorRef<ServerMsg>>),
    /// The actor of a server, if it is there.
    Known(Key, RpcReplyPort<Option<ActorRef<ServerMsg>>>),
    End(Key),
}

/// A handle on them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Servers(ActorRef<ServersMsg>);

impl Servers {
    /// Starts the parent; whoever holds the handle sees it end.
    pub(crate) async fn start(
        connector: Arc<dyn Connector>,
        installations: Arc<dyn Installations>,
    ) -> anyhow::Result<(Self, JoinHandle<()>)> {
        let (parent, ended) = Actor::spawn(None, Parent { connector, installations }, ()).await?;
        Ok((Self(parent), ended))
    }

    /// The way to a server, which is started if it must be; the error is for whoever calls.
    pub(crate) async fn connect(&self, installed: &Installed) -> Result<Link, String> {
        let (key, launch) = (installed.key.clone(), installed.launch.clone());
        let actor = answered(self.0.call(|reply| ServersMsg::Of(key, launch, reply), Some(PATIENCE)).await)?;
        let connected: Connected = answered(actor.call(ServerMsg::Connect, Some(PATIENCE)).await)?;
        connected
    }

    /// Where a server stands, and why it failed last.
    pub(crate) async fn report(&self, key: &Key) -> Option<(Status, String)> {
        let known = self.0.call(|reply| ServersMsg::Known(key.clone(), reply), Some(PATIENCE)).await;
        let actor = answered(known).ok()??;
        answered(actor.call(ServerMsg::Report, Some(PATIENCE)).await).ok()
    }

    /// Ends a server; it starts anew when it is called.
    pub(crate) fn end(&self, key: &Key) {
        // The parent may be gone when the process is stopping.
        let _ = self.0.cast(ServersMsg::End(key.clone()));
    }

    /// Ends all of them.
    pub(crate) fn stop(&self) {
        self.0.stop(None);
    }
}

fn answered<T, E>(result: Result<ractor::rpc::CallResult<T>, E>) -> Result<T, String> {
    match result {
        Ok(ractor::rpc::CallResult::Success(value)) => Ok(value),
        Ok(ractor::rpc::CallResult::Timeout) => Err("it gave no answer in time".to_owned()),
        Ok(ractor::rpc::CallResult::SenderError) | Err(_) => Err("the runner is stopping".to_owned()),
    }
}

struct Parent {
    connector: Arc<dyn Connector>,
    installations: Arc<dyn Installations>,
}

struct Known {
    launch: Launch,
    actor: ActorRef<ServerMsg>,
}

#[derive(Default)]
struct Running(HashMap<Key, Known>);

impl Running {
    fn forget(&mut self, id: ActorId) -> Option<Key> {
        let key = self.0.iter().find(|(_, known)| known.actor.get_id() == id).map(|(key, _)| key.clone())?;
        self.0.remove(&key);
        Some(key)
    }
}

#[async_trait]
impl Actor for Parent {
    type Msg = ServersMsg;
    type State = Running;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<ServersMsg>, (): ()) -> Result<Running, ActorProcessingErr> {
        Ok(Running::default())
    }

    async fn handle(
        &self,
        me: ActorRef<ServersMsg>,
        msg: ServersMsg,
        state: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            ServersMsg::Of(key, launch, reply) => self.on_of(&me, state, key, launch, reply).await,
            ServersMsg::Known(key, reply) => {
                let _ = reply.send(state.0.get(&key).map(|known| known.actor.clone()));
                Ok(())
            }
            ServersMsg::End(key) => {
                if let Some(known) = state.0.remove(&key) {
                    known.actor.stop(None);
                }
                Ok(())
            }
        }
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<ServersMsg>,
        event: SupervisionEvent,
        state: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            // The next call starts it anew.
            SupervisionEvent::ActorFailed(child, err) => {
                if let Some(key) = state.forget(child.get_id()) {
                    warn!(server = key.name, error = %err, "the actor of an MCP server failed");
                }
            }
            SupervisionEvent::ActorTerminated(child, ..) => {
                state.forget(child.get_id());
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl Parent {
    async fn on_of(
        &self,
        me: &ActorRef<ServersMsg>,
        state: &mut Running,
        key: Key,
        launch: Launch,
        reply: RpcReplyPort<ActorRef<ServerMsg>>,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(known) = state.0.get(&key) {
            if known.launch == launch {
                let _ = reply.send(known.actor.clone());
                return Ok(());
            }
            // It was installed anew, as something else.
            known.actor.stop(None);
        }
        let server = Server {
            key: key.clone(),
            launch: launch.clone(),
            connector: Arc::clone(&self.connector),
            installations: Arc::clone(&self.installations),
        };
        match Actor::spawn_linked(None, server, (), me.get_cell()).await {
            Ok((actor, _)) => {
                state.0.insert(key, Known { launch, actor: actor.clone() });
                let _ = reply.send(actor);
            }
            // Whoever called hears that the runner does not answer.
            Err(err) => warn!(server = key.name, error = %err, "failed to start the actor of an MCP server"),
        }
        Ok(())
    }
}
