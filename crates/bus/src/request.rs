//! Request and reply: NATS micro services, found by `clara status`.

use std::sync::Arc;
use std::time::Duration;

use async_nats::service::{Service, ServiceExt};
use async_trait::async_trait;
use futures::StreamExt;
use proto::{Wire, response};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info_span, warn};

use crate::conversations::missing;
use crate::subject::Endpoints;
use crate::{Bus, BusError, Subject, trace};

/// The queue group of those who answer: one of them gets a request. What micro
/// services use by default (NATS ADR-32).
const GROUP: &str = "q";
/// Requests of one endpoint that are answered at the same time.
const PARALLEL: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("nobody serves {0}: `clara status` shows which services run, `clara doctor` what is wrong")]
    NobodyServes(String),
    #[error("{0} did not answer in time; it may have been done all the same")]
    TimedOut(String),
    #[error("{subject} cannot be asked: {why}")]
    Unavailable { subject: String, why: String },
    /// The service's own words.
    #[error("{0}")]
    Refused(String),
}

/// A service that is running, as it announced itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Announced {
    pub name: String,
    pub id: String,
    pub version: String,
    #[serde(default)]
    pub metadata: std::collections::HashMap<String, String>,
}

/// Answers the requests of one endpoint.
#[async_trait]
pub trait Serve<Req, Res>: Send + Sync + 'static {
    /// The error is told to whoever asked.
    async fn serve(&self, request: Req) -> Result<Res, String>;
}

/// A service's presence on the bus. Gone when dropped.
pub struct Presence {
    _service: Service,
}

impl Bus {
    /// Announces a service, so that it is found and counted.
    pub async fn announce(&self, name: &str) -> Result<Presence, BusError> {
        let metadata = std::collections::HashMap::from([
            ("replica".to_owned(), self.replica().to_owned()),
            ("pid".to_owned(), std::process::id().to_string()),
        ]);
        let service = self
            .client
            .service_builder()
            .description(format!("Clara's {name}"))
            .metadata(metadata)
            .start(name, env!("CARGO_PKG_VERSION"))
            .await
            .map_err(|err| missing(name, err))?;
        Ok(Presence { _service: service })
    }

    /// Every service that answers within `wait`.
    pub async fn services(&self, wait: Duration) -> Result<Vec<Announced>, BusError> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(|err| missing("$SRV", err))?;
        self.client.publish_with_reply("$SRV.PING", inbox, "".into()).await.map_err(|err| missing("$SRV", err))?;
        let mut found = Vec::new();
        let deadline = tokio::time::Instant::now() + wait;
        while let Ok(Some(answer)) = tokio::time::timeout_at(deadline, answers.next()).await {
            // A reply without a body says that nobody is there.
            if let Ok(announced) = serde_json::from_slice::<Announced>(&answer.payload) {
                found.push(announced);
            }
        }
        found.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(found)
    }

    /// Asks a service, within `deadline`.
    pub async fn request<Req: Wire, Res: Wire>(
        &self,
        endpoint: Endpoints,
        request: &Req,
        deadline: Duration,
    ) -> Result<Res, RequestError> {
        let subject = Subject::Request(endpoint).to_string();
        let mut headers = async_nats::HeaderMap::new();
        trace::inject(&mut headers);
        let asked =
            async_nats::Request::new().headers(headers).payload(request.to_wire().into()).timeout(Some(deadline));
        let answer = self.client.send_request(subject.clone(), asked).await.map_err(|err| match err.kind() {
            async_nats::RequestErrorKind::NoResponders => RequestError::NobodyServes(subject.clone()),
            async_nats::RequestErrorKind::TimedOut => RequestError::TimedOut(subject.clone()),
            _ => RequestError::Unavailable { subject: subject.clone(), why: err.to_string() },
        })?;
        match response::read(&answer.payload) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(why)) => Err(RequestError::Refused(why)),
            Err(err) => Err(RequestError::Unavailable { subject, why: err.to_string() }),
        }
    }
}

impl Bus {
    /// Answers the requests of an endpoint until `stop`, then finishes those in
    /// work. `name` is what the micro service announces itself as.
    pub async fn answer<Req, Res, S>(
        &self,
        name: &str,
        endpoint: Endpoints,
        server: Arc<S>,
        stop: CancellationToken,
    ) -> Result<(), BusError>
    where
        Req: Wire + Send + 'static,
        Res: Wire + Send + 'static,
        S: Serve<Req, Res>,
    {
        let subject = Subject::Request(endpoint).to_string();
        // Our own subscription rather than the library's endpoint, which loses
        // what is on its way when it stops.
        let requests = self.client.queue_subscribe(subject.clone(), GROUP.to_owned()).await;
        let mut requests = requests.map_err(|err| missing(&subject, err))?;
        // Announced when it is there to be asked, not before.
        let announced = self.announce(name).await?;
        let mut draining = false;
        let permits = Arc::new(Semaphore::new(PARALLEL));
        let working = TaskTracker::new();
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
            let request = tokio::select! {
                () = stop.cancelled(), if !draining => {
                    // What is asked from now on goes to another replica; what is
                    // on its way is still answered.
                    draining = true;
                    if requests.drain().await.is_err() {
                        break;
                    }
                    continue;
                }
                request = requests.next() => request,
            };
            let Some(request) = request else { break };
            let (server, bus) = (Arc::clone(&server), self.clone());
            working.spawn(async move {
                let span = info_span!("serve", otel.kind = "server", ?endpoint);
                trace::adopt(&span, request.headers.as_ref());
                async {
                    let answer = match Req::from_wire(&request.payload) {
                        Ok(asked) => server.serve(asked).await,
                        Err(err) => Err(format!("the request cannot be read: {err}")),
                    };
                    if let Some(reply) = request.reply.clone()
                        && let Err(err) = bus.client.publish(reply, response::encode(&answer).into()).await
                    {
                        warn!(error = %err, "failed to answer a request");
                    }
                }
                .instrument(span)
                .await;
                drop(permit);
            });
        }
        drop(announced);
        working.close();
        working.wait().await;
        Ok(())
    }
}
