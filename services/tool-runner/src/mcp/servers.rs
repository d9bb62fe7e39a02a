//! The servers that run in this process: one actor each, so that the end of one is
//! nobody else's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::mcp::Status;
use ractor::rpc::CallResult;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent, async_trait};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::warn;

use super::link::Link;
use super::server::{Server, ServerMsg};
use super::version::Version;
use crate::ports::{Connector, Installations, Installed, Key};

/// How long whoever calls waits for a server to start: longer than it may take.
const PATIENCE: Duration = Duration::from_secs(70);

/// How long a parent that was just begun may take to be there.
const STARTED: Duration = Duration::from_secs(5);
const STOPPING: &str = "the runner is stopping";

pub(crate) enum ServersMsg {
    /// The actor of a server, which is there from now on.
    Of(Key, Version, RpcReplyPort<ActorRef<ServerMsg>>),
    /// The actor of a server, if it is there, and is of no earlier time.
    Known(Key, Version, RpcReplyPort<Option<ActorRef<ServerMsg>>>),
    End(Key),
}

/// A handle on their parent, whichever it is at the time. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Servers(watch::Sender<Option<ActorRef<ServersMsg>>>);

impl Servers {
    /// Starts a parent in place of the last; whoever holds what is given sees it end.
    pub(crate) async fn start(
        &self,
        connector: Arc<dyn Connector>,
        installations: Arc<dyn Installations>,
    ) -> anyhow::Result<JoinHandle<()>> {
        let (parent, ended) = Actor::spawn(None, Parent { connector, installations }, ()).await?;
        self.0.send_replace(Some(parent));
        Ok(ended)
    }

    /// The parent; waits for one that is just being started.
    async fn parent(&self) -> Result<ActorRef<ServersMsg>, String> {
        let mut known = self.0.subscribe();
        let found = tokio::time::timeout(STARTED, known.wait_for(Option::is_some)).await;
        found.ok().and_then(Result::ok).and_then(|parent| parent.clone()).ok_or_else(|| STOPPING.to_owned())
    }

    /// The way to a server, which is started if it must be; the error is for whoever calls.
    pub(crate) async fn connect(&self, installed: &Installed) -> Result<Link, String> {
        let (key, version) = (installed.key.clone(), Version::of(installed));
        let parent = self.parent().await?;
        // One that is ended while somebody asks it, to be started anew, tells nobody: the next one does.
        for _ in 0..2 {
            let of = |reply| ServersMsg::Of(key.clone(), version.clone(), reply);
            let actor = answered(parent.call(of, Some(PATIENCE)).await)?;
            match actor.call(ServerMsg::Connect, Some(PATIENCE)).await {
                Ok(CallResult::SenderError) | Err(_) => {}
                given => return answered(given)?,
            }
        }
        Err("it was ended meanwhile".to_owned())
    }

    /// Where a server stands, and why it failed last.
    pub(crate) async fn report(&self, installed: &Installed) -> Option<(Status, String)> {
        let parent = self.0.borrow().clone()?;
        let (key, version) = (installed.key.clone(), Version::of(installed));
        let known = parent.call(|reply| ServersMsg::Known(key, version, reply), Some(PATIENCE)).await;
        let actor = answered(known).ok()??;
        answered(actor.call(ServerMsg::Report, Some(PATIENCE)).await).ok()
    }

    /// Ends a server; it starts anew when it is called.
    pub(crate) fn end(&self, key: &Key) {
        if let Some(parent) = self.0.borrow().as_ref() {
            // It may be gone, and all of them with it.
            let _ = parent.cast(ServersMsg::End(key.clone()));
        }
    }

    /// Ends all of them.
    pub(crate) fn stop(&self) {
        if let Some(parent) = self.0.send_replace(None) {
            parent.stop(None);
        }
    }
}

fn answered<T, E>(result: Result<CallResult<T>, E>) -> Result<T, String> {
    match result {
        Ok(CallResult::Success(value)) => Ok(value),
        Ok(CallResult::Timeout) => Err("it gave no answer in time".to_owned()),
        Ok(CallResult::SenderError) | Err(_) => Err(STOPPING.to_owned()),
    }
}

struct Parent {
    connector: Arc<dyn Connector>,
    installations: Arc<dyn Installations>,
}

struct Known {
    version: Version,
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
            ServersMsg::Of(key, version, reply) => self.on_of(&me, state, key, version, reply).await,
            ServersMsg::Known(key, version, reply) => {
                let known = state.0.get(&key).filter(|known| known.version.is_no_older_than(&version));
                let _ = reply.send(known.map(|known| known.actor.clone()));
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
        version: Version,
        reply: RpcReplyPort<ActorRef<ServerMsg>>,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(known) = state.0.get(&key) {
            // Whoever calls may have read of it before it was to start anew.
            if known.version.is_no_older_than(&version) {
                let _ = reply.send(known.actor.clone());
                return Ok(());
            }
            // It was installed anew, as something else, or is to start anew.
            known.actor.stop(None);
        }
        let server = Server {
            key: key.clone(),
            version: version.clone(),
            connector: Arc::clone(&self.connector),
            installations: Arc::clone(&self.installations),
        };
        match Actor::spawn_linked(None, server, (), me.get_cell()).await {
            Ok((actor, _)) => {
                state.0.insert(key, Known { version, actor: actor.clone() });
                let _ = reply.send(actor);
            }
            // Whoever called hears that the runner does not answer.
            Err(err) => warn!(server = key.name, error = %err, "failed to start the actor of an MCP server"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use domain::mcp::Launch;
    use store::Database;

    use super::*;
    use crate::adapters::rmcp::{OAuth, RmcpConnector};
    use crate::adapters::sealed::MasterKey;
    use crate::adapters::sql::{SqlInstallations, prepare};
    use crate::adapters::vault::Vault;

    #[tokio::test]
    async fn another_parent_takes_the_place_of_one_that_ended() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::sqlite(&folder.path().join("tools.sqlite")).await.unwrap();
        let key = MasterKey::open(None, &folder.path().join("secrets.key")).unwrap();
        let oauth = Arc::new(OAuth::new(Vault::new(database.clone(), key), None));
        prepare(&database).await.unwrap();
        let installations = Arc::new(SqlInstallations::new(database));
        let connector = Arc::new(RmcpConnector { folder: folder.path().to_owned(), oauth, guard: Arc::default() });
        let installed = Installed {
            key: Key { owner: String::new(), name: "none".into() },
            source: String::new(),
            launch: Launch::Stdio { command: vec!["/no/such/program".into()], env: Default::default() },
            is_enabled: true,
            is_reloaded: false,
            may_sample: false,
            tools: Vec::new(),
            approved: Default::default(),
            last_error: String::new(),
            installed_by: String::new(),
            installed_at_ms: 0,
            restarts: 0,
            is_personal: false,
        };
        let servers = Servers::default();
        let ended = servers.start(connector.clone(), installations.clone()).await.unwrap();
        servers.parent().await.unwrap().kill();
        ended.await.unwrap();
        assert_eq!(servers.connect(&installed).await.err().unwrap(), STOPPING);
        let _ended = servers.start(connector, installations).await.unwrap();
        let why = servers.connect(&installed).await.err().unwrap();
        assert!(why.contains("it did not start"), "{why}");
    }
}
