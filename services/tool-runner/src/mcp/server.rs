//! One server: started when it is called, ended when nobody has called it for a while,
//! started anew after it ended, with longer and longer pauses.

mod back_off; // How long it is left alone after it failed.

use std::sync::Arc;
use std::time::Duration;

use domain::mcp::Status;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, async_trait};
use service_kit::task::{self, TaskKind};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use self::back_off::BackOff;
use super::link::{Link, list, start};
use super::version::Version;
use crate::ports::{Connection, Connector, Installations, Installed, Key};

/// How long a server may take to start and to list its tools.
const START: Duration = Duration::from_secs(60);
/// How long a server runs that nobody calls.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// How often it is looked after.
const LOOK: Duration = Duration::from_secs(30);
/// Calls that wait for a server to start, at most.
const WAITING: usize = 64;

/// The way to it, or why there is none.
pub(super) type Connected = Result<Link, String>;

pub(super) enum ServerMsg {
    Connect(RpcReplyPort<Connected>),
    Started(Result<Arc<dyn Connection>, String>),
    /// The connection of this number has ended.
    Ended(u64),
    /// It offers something else now.
    Changed(u64),
    /// What it offers now was read.
    Read(u64),
    Look,
    Report(RpcReplyPort<(Status, String)>),
}

pub(super) struct Server {
    pub(super) key: Key,
    pub(super) version: Version,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) installations: Arc<dyn Installations>,
}

pub(super) struct State {
    link: Option<Link>,
    /// Those who wait for it to start; nobody when it does not.
    waiting: Vec<RpcReplyPort<Connected>>,
    /// The number of the connection.
    number: u64,
    watch: Option<AbortOnDropHandle<()>>,
    _look: AbortOnDropHandle<()>,
    used: Instant,
    since: Instant,
    /// What it offers is being read; and whether that must be done once more after it.
    reading: Option<bool>,
    back_off: BackOff,
}

type Handled = Result<(), ActorProcessingErr>;

#[async_trait]
impl Actor for Server {
    type Msg = ServerMsg;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<ServerMsg>, (): ()) -> Result<State, ActorProcessingErr> {
        let looking = task::spawn(TaskKind::Watch, "look-after-mcp-server", async move {
            loop {
                tokio::time::sleep(LOOK).await;
                if me.cast(ServerMsg::Look).is_err() {
                    return;
                }
            }
        });
        let now = Instant::now();
        Ok(State {
            link: None,
            waiting: Vec::new(),
            number: 0,
            watch: None,
            _look: AbortOnDropHandle::new(looking),
            used: now,
            since: now,
            reading: None,
            back_off: BackOff::new(now),
        })
    }

    async fn handle(&self, me: ActorRef<ServerMsg>, msg: ServerMsg, state: &mut State) -> Handled {
        match msg {
            ServerMsg::Connect(reply) => self.on_connect(&me, state, reply),
            ServerMsg::Started(started) => self.on_started(&me, state, started).await,
            ServerMsg::Ended(number) => self.on_ended(state, number).await,
            ServerMsg::Changed(number) => self.on_changed(&me, state, number),
            ServerMsg::Read(number) => self.on_read(&me, state, number),
            ServerMsg::Look => self.on_look(&me, state),
            ServerMsg::Report(reply) => self.on_report(state, reply),
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<ServerMsg>, state: &mut State) -> Handled {
        self.close(state);
        Ok(())
    }
}

impl Server {
    fn on_connect(&self, me: &ActorRef<ServerMsg>, state: &mut State, reply: RpcReplyPort<Connected>) {
        state.used = Instant::now();
        // One that is being cleared away takes nobody any more.
        if state.link.as_ref().is_some_and(|link| link.connection.is_ending()) {
            state.link = None;
            state.watch = None;
            state.back_off.lapse("it ended by itself", state.since.elapsed(), Instant::now());
        }
        // Whoever asked may have gone.
        if let Some(link) = &state.link {
            let _ = reply.send(Ok(link.clone()));
            return;
        }
        let wait = state.back_off.wait(Instant::now());
        if !wait.is_zero() {
            let why = format!("{}; it is tried again in {} seconds", state.back_off.last_error, wait.as_secs() + 1);
            let _ = reply.send(Err(why));
            return;
        }
        if state.waiting.len() >= WAITING {
            let _ = reply.send(Err(format!("{WAITING} calls wait for it already")));
            return;
        }
        state.waiting.push(reply);
        if state.waiting.len() > 1 {
            return;
        }
        let (connector, installations) = (Arc::clone(&self.connector), Arc::clone(&self.installations));
        let (launch, key, me) = (self.version.launch.clone(), self.key.clone(), me.clone());
        task::spawn(TaskKind::Work, "start-mcp-server", async move {
            let started = async {
                let (connection, tools) =
                    start(connector.as_ref(), &key, &launch).await.map_err(|err| err.to_string())?;
                match installations.set_tools(&key, &launch, &tools).await {
                    Ok(()) => Ok(connection),
                    Err(err) => {
                        connection.close().await;
                        Err(err.to_string())
                    }
                }
            };
            let started = tokio::time::timeout(START, started).await;
            let started = started.unwrap_or_else(|_| Err(format!("it did not start within {START:?}")));
            // The actor may have stopped: then nobody waits for it.
            let _ = me.cast(ServerMsg::Started(started));
        });
    }

    async fn on_started(
        &self,
        me: &ActorRef<ServerMsg>,
        state: &mut State,
        started: Result<Arc<dyn Connection>, String>,
    ) {
        let connected = match started {
            Ok(connection) => {
                info!(server = self.key.name, "started an MCP server");
                state.number += 1;
                state.since = Instant::now();
                state.reading = None;
                state.watch = Some(watch(me.clone(), Arc::clone(&connection), state.number));
                let link = Link::new(connection);
                state.link = Some(link.clone());
                Ok(link)
            }
            Err(why) => {
                self.fail(state, &why, Duration::ZERO).await;
                Err(why)
            }
        };
        for reply in state.waiting.drain(..) {
            let _ = reply.send(connected.clone());
        }
    }

    async fn on_ended(&self, state: &mut State, number: u64) {
        if number == state.number && state.link.take().is_some() {
            state.watch = None;
            self.fail(state, "it ended by itself", state.since.elapsed()).await;
        }
    }

    /// Reads what it offers, once at a time however often it says that it changed.
    fn on_changed(&self, me: &ActorRef<ServerMsg>, state: &mut State, number: u64) {
        let Some(link) = state.link.as_ref().filter(|_| number == state.number) else { return };
        if let Some(again) = &mut state.reading {
            *again = true;
            return;
        }
        state.reading = Some(false);
        let (connection, installations) = (Arc::clone(&link.connection), Arc::clone(&self.installations));
        let (key, launch, me) = (self.key.clone(), self.version.launch.clone(), me.clone());
        task::spawn(TaskKind::Work, "read-mcp-tools", async move {
            let read = async {
                let tools = list(connection.as_ref()).await.map_err(|err| err.to_string())?;
                installations.set_tools(&key, &launch, &tools).await.map_err(|err| err.to_string())
            };
            let read = matches!(tokio::time::timeout(START, read).await, Ok(Ok(())));
            if !read {
                // What it offers is not known any more: it begins anew.
                connection.close().await;
            }
            // The actor may have stopped.
            let _ = me.cast(if read { ServerMsg::Read(number) } else { ServerMsg::Ended(number) });
        });
    }

    fn on_read(&self, me: &ActorRef<ServerMsg>, state: &mut State, number: u64) {
        if number == state.number && state.reading.take() == Some(true) {
            self.on_changed(me, state, number);
        }
    }

    fn on_look(&self, me: &ActorRef<ServerMsg>, state: &mut State) {
        let is_called = state.link.as_ref().is_some_and(Link::is_asked);
        if !is_called && state.used.elapsed() >= IDLE {
            self.close(state);
            state.back_off.forget();
        }
        // One that is there in name only is found out before somebody needs it. While it is at work
        // it may have no ear for anything else.
        if let Some(link) = state.link.as_ref().filter(|_| !is_called) {
            link.connection.ping();
        }
        // Another runner may have been told to remove it, to run something else, or to start it anew.
        let (installations, key, version, me) =
            (Arc::clone(&self.installations), self.key.clone(), self.version.clone(), me.clone());
        task::spawn(TaskKind::Work, "look-for-mcp-server", async move {
            let is_ours = |found: Option<Installed>| {
                found.is_some_and(|found| found.is_enabled && Version::of(&found) == version)
            };
            if installations.find(&key).await.is_ok_and(|found| !is_ours(found)) {
                me.stop(None);
            }
        });
    }

    fn on_report(&self, state: &State, reply: RpcReplyPort<(Status, String)>) {
        let status = match &state.link {
            Some(_) => Status::Running,
            None if !state.waiting.is_empty() => Status::Starting,
            None if state.back_off.has_failed() => Status::Failed,
            None => Status::Stopped,
        };
        let _ = reply.send((status, state.back_off.last_error.clone()));
    }

    async fn fail(&self, state: &mut State, why: &str, ran: Duration) {
        warn!(server = self.key.name, why, "an MCP server failed");
        state.back_off.fail(why, ran, Instant::now());
        if let Err(err) = self.installations.note_error(&self.key, why).await {
            warn!(error = %err, "failed to note why an MCP server failed");
        }
    }

    fn close(&self, state: &mut State) {
        state.watch = None;
        if let Some(link) = state.link.take() {
            task::spawn(TaskKind::Watch, "close-mcp-server", async move { link.connection.close().await });
        }
    }
}

fn watch(me: ActorRef<ServerMsg>, connection: Arc<dyn Connection>, number: u64) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(task::spawn(TaskKind::Watch, "watch-mcp-server", async move {
        loop {
            tokio::select! {
                () = connection.ended() => {
                    let _ = me.cast(ServerMsg::Ended(number));
                    return;
                }
                () = connection.changed() => {
                    if me.cast(ServerMsg::Changed(number)).is_err() {
                        return;
                    }
                }
            }
        }
    }))
}
