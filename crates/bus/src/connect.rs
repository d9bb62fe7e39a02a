//! Connecting, and what the server must be able to do.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::topology::{self, Problem, Room, TopologyError};

/// The oldest nats-server that works; older ones ignore settings silently.
const OLDEST: (i64, i64, i64) = (2, 10, 0);
/// The smallest message limit that a turn's context fits into, in bytes.
const MIN_PAYLOAD: usize = 1024 * 1024;
/// How long one request to the server may take.
const REQUEST: Duration = Duration::from_secs(12);
/// How long one attempt to connect may take.
const DIAL: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("no nats-server answers at {url}: {why}. Start one, or name another in NATS_URL")]
    Unreachable { url: String, why: String },
    #[error("the nats-server at {url} is version {found}; Clara needs 2.10 or newer")]
    TooOld { url: String, found: String },
    #[error("the nats-server at {url} has no JetStream; start it with `-js` or a `jetstream` section")]
    NoJetStream { url: String },
    #[error("the nats-server at {url} limits messages to {found} bytes; set `max_payload` to 8MB (at least 1MB)")]
    SmallPayload { url: String, found: usize },
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

/// How a service proves who it is.
#[derive(Debug, Clone, Default)]
pub enum Login {
    #[default]
    Anonymous,
    Token(SecretString),
    Password {
        user: String,
        password: SecretString,
    },
    /// Path of a `.creds` file.
    Credentials(std::path::PathBuf),
}

impl Login {
    pub fn token(token: &str) -> Self {
        Login::Token(SecretString::from(token))
    }
}

/// A URL without the secrets that it may carry: for people and logs.
pub fn shown_url(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, place)) => format!("{scheme}://***@{place}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    }
}

/// Which server, and how.
#[derive(Debug, Clone)]
pub struct Server {
    pub url: String,
    pub login: Login,
    /// Replicas of every stream: 1, or 3 on a cluster.
    pub replicas: usize,
    /// How long to wait for a server that does not answer yet.
    pub wait: Duration,
}

/// A connection to the bus. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    pub(crate) client: Client,
    pub(crate) context: Context,
    pub(crate) replica: Arc<str>,
    connected: watch::Receiver<bool>,
    url: Arc<str>,
    replicas: usize,
}

impl Bus {
    /// Connects and makes sure that the bus is what `nats/streams.toml` says.
    /// `replica` names this process in journals and records.
    pub async fn connect(server: &Server, replica: &str) -> Result<Self, BusError> {
        let bus = Self::attach(server, replica).await?;
        bus.check_server()?;
        topology::ensure(&bus.context, server.replicas).await.map_err(|err| match err {
            TopologyError::Create { ref why, .. } if why.contains("JetStream not enabled") => {
                BusError::NoJetStream { url: bus.url.to_string() }
            }
            other => other.into(),
        })?;
        Ok(bus)
    }

    /// Connects and changes nothing.
    pub async fn attach(server: &Server, replica: &str) -> Result<Self, BusError> {
        let (alive, connected) = watch::channel(true);
        let deadline = tokio::time::Instant::now() + server.wait;
        let url = shown_url(&server.url);
        let client = loop {
            let options = options(&server.login, replica, alive.clone()).await.map_err(|err| {
                BusError::Unreachable { url: url.clone(), why: format!("its credentials cannot be read: {err}") }
            })?;
            match options.connect(&server.url).await {
                Ok(client) => break client,
                Err(err) if tokio::time::Instant::now() >= deadline => {
                    return Err(BusError::Unreachable { url, why: err.to_string() });
                }
                Err(err) => {
                    info!(url, error = %err, "waiting for nats-server");
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
            }
        };
        let context = jetstream::context::ContextBuilder::new().timeout(REQUEST).build(client.clone());
        Ok(Self { client, context, replica: replica.into(), connected, url: url.into(), replicas: server.replicas })
    }

    fn check_server(&self) -> Result<(), BusError> {
        let info = self.client.server_info();
        let url = self.url.to_string();
        if !self.client.is_server_compatible(OLDEST.0, OLDEST.1, OLDEST.2) {
            return Err(BusError::TooOld { url, found: info.version });
        }
        if !info.jetstream {
            return Err(BusError::NoJetStream { url });
        }
        if info.max_payload < MIN_PAYLOAD {
            return Err(BusError::SmallPayload { url, found: info.max_payload });
        }
        Ok(())
    }

    /// Whether the server answers now; changes as it goes and comes back.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    /// The name of this process on the bus.
    pub fn replica(&self) -> &str {
        &self.replica
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn server_version(&self) -> String {
        self.client.server_info().version
    }

    /// Largest message that the server takes, in bytes.
    pub fn max_payload(&self) -> usize {
        self.client.server_info().max_payload
    }

    /// What is not as `nats/streams.toml` says.
    pub async fn inspect(&self) -> Result<Vec<Problem>, TopologyError> {
        topology::inspect(&self.context, self.replicas).await
    }

    /// How full the streams are that refuse what is new when they are full.
    pub async fn rooms(&self) -> Result<Vec<Room>, TopologyError> {
        topology::rooms(&self.context).await
    }

    /// Time of one round trip to the server.
    pub async fn round_trip(&self) -> Result<Duration, BusError> {
        let begun = tokio::time::Instant::now();
        let flushed = tokio::time::timeout(REQUEST, self.client.flush()).await;
        match flushed {
            Ok(Ok(())) => Ok(begun.elapsed()),
            Ok(Err(err)) => Err(BusError::Unreachable { url: self.url.to_string(), why: err.to_string() }),
            Err(_) => Err(BusError::Unreachable { url: self.url.to_string(), why: "time-out".into() }),
        }
    }

    /// Sends what is still buffered. The last step of a clean stop.
    pub async fn flush(&self) {
        if let Err(err) = self.client.flush().await {
            warn!(error = %err, "failed to flush the bus");
        }
    }
}

async fn options(login: &Login, replica: &str, alive: watch::Sender<bool>) -> std::io::Result<ConnectOptions> {
    let options = match login {
        Login::Anonymous => ConnectOptions::new(),
        Login::Token(token) => ConnectOptions::with_token(token.expose_secret().to_owned()),
        Login::Password { user, password } => {
            ConnectOptions::with_user_and_password(user.clone(), password.expose_secret().to_owned())
        }
        Login::Credentials(path) => ConnectOptions::with_credentials_file(path).await?,
    };
    Ok(options
        .name(replica)
        .connection_timeout(DIAL)
        .request_timeout(Some(REQUEST))
        .ping_interval(Duration::from_secs(10))
        .reconnect_delay_callback(|attempts| Duration::from_millis((50 * attempts as u64).min(1000)))
        .event_callback(move |event| {
            let alive = alive.clone();
            async move {
                match event {
                    async_nats::Event::Connected => {
                        alive.send_replace(true);
                    }
                    async_nats::Event::Disconnected => {
                        warn!("lost the connection to nats-server");
                        alive.send_replace(false);
                    }
                    other => warn!(event = %other, "nats connection event"),
                }
            }
        }))
}
