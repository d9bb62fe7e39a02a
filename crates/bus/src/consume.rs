//! Pulling messages with a limit, and settling each after its effect is durable.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_nats::header::{HeaderValue, NATS_MESSAGE_ID};
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{AckKind, Message};
use async_trait::async_trait;
use domain::conversation::Position;
use domain::ids::{ConversationId, TurnId};
use domain::message::{Event, Inbound};
use futures::{FutureExt, StreamExt};
use proto::Wire;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info_span, warn};

use crate::publish::PATIENCE;
use crate::{Bus, BusError, Subject, dead, trace};

/// How long a pull waits at the server before it is made anew. Also how long, with
/// five seconds of the library's own, a pull that was lost goes unnoticed.
const PULL: Duration = Duration::from_secs(10);
/// How long to wait after a pull that failed.
const BACK_OFF: Duration = Duration::from_millis(500);
/// How often work in progress is reported: a third of `ack_wait`.
const PROGRESS: Duration = Duration::from_secs(10);
/// Deliveries after which a message whose handler panics is put aside. A handler
/// that asks for another try is never counted: a database may be away for hours.
const PANICS: i64 = 5;

/// Which consumer of `nats/streams.toml` to pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumer {
    /// The router's, one a partition.
    Router(u16),
    Processor,
    Orchestrator,
    ToolBuiltin,
    AdapterCli,
    Memory,
}

impl Consumer {
    fn names(self) -> (&'static str, String) {
        match self {
            Consumer::Router(partition) => ("CLARA_INBOUND", format!("router-{partition}")),
            Consumer::Processor => ("CLARA_TURNS", "processor".into()),
            Consumer::Orchestrator => ("CLARA_TURNS", "orchestrator".into()),
            Consumer::ToolBuiltin => ("CLARA_TOOLS", "tool-builtin".into()),
            Consumer::AdapterCli => ("CLARA_OUTBOUND", "adapter-cli".into()),
            Consumer::Memory => ("CLARA_JOURNAL", "memory".into()),
        }
    }
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its effect is durable.
    Done,
    /// Somebody else has it in work: they settle it.
    Leave,
    /// Not now: deliver it again after this time.
    RetryAfter(Duration),
    /// Never: put it aside with the reason, for the operator.
    Dead(String),
}

/// Handles the messages of one consumer. Must be idempotent: redelivery is
/// normal, not an error.
#[async_trait]
pub trait Handler<T>: Send + Sync + 'static {
    async fn handle(&self, message: T, delivery: &Delivery) -> Verdict;
}

/// A consumer on one incarnation of its stream.
struct Source {
    consumer: PullConsumer,
    /// When the stream was created, in nanoseconds since the Unix epoch. A
    /// stream that is recreated ends its pulls, and the next ones read this anew.
    incarnation: i64,
}

/// One message as it was delivered.
pub struct Delivery {
    message: Message,
    deliveries: i64,
    sequence: u64,
    incarnation: i64,
}

impl Delivery {
    fn read(message: Message, incarnation: i64) -> Self {
        let (deliveries, sequence) = message.info().map_or((1, 0), |info| (info.delivered, info.stream_sequence));
        Self { message, deliveries, sequence, incarnation }
    }

    /// How often it was delivered, this time included.
    pub fn deliveries(&self) -> i64 {
        self.deliveries
    }

    /// Where the message stands in its stream. Positions compare only within
    /// one incarnation of it.
    pub fn position(&self) -> Position {
        Position { incarnation: self.incarnation, sequence: self.sequence }
    }

    pub fn subject(&self) -> &str {
        &self.message.subject
    }

    /// Awaits `work` and meanwhile tells the server that it goes on, so that
    /// the message is not given to somebody else.
    pub async fn keep_alive<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = tick.tick() => {
                    if let Err(err) = self.message.ack_with(AckKind::Progress).await {
                        warn!(error = %err, "failed to report progress");
                    }
                }
            }
        }
    }
}

impl Bus {
    /// Pulls a consumer until `stop`, with at most `limit` messages in work,
    /// then waits for those. The one place that pulls.
    pub async fn consume<T, H>(
        &self,
        consumer: Consumer,
        limit: usize,
        handler: Arc<H>,
        stop: CancellationToken,
    ) -> Result<(), BusError>
    where
        T: Wire + Send + 'static,
        H: Handler<T>,
    {
        let permits = Arc::new(Semaphore::new(limit));
        let working = TaskTracker::new();
        let mut source = None;
        loop {
            let permit = tokio::select! {
                () = stop.cancelled() => break,
                permit = Arc::clone(&permits).acquire_owned() => permit,
            };
            let Ok(permit) = permit else { break };
            let Some(delivery) = self.next_delivery(consumer, &mut source, &stop).await else { break };
            let (bus, handler) = (self.clone(), Arc::clone(&handler));
            working.spawn(async move {
                bus.settle_one(consumer, delivery, handler.as_ref()).await;
                drop(permit);
            });
        }
        working.close();
        working.wait().await;
        Ok(())
    }

    /// Pulls until there is a message. `None`: told to stop.
    async fn next_delivery(
        &self,
        consumer: Consumer,
        source: &mut Option<Source>,
        stop: &CancellationToken,
    ) -> Option<Delivery> {
        let mut connected = self.connected();
        connected.mark_unchanged();
        loop {
            let pulled = tokio::select! {
                // Dropping a pull ends it: what arrives now goes to another replica.
                () = stop.cancelled() => return None,
                // A server that was restarted has forgotten its pulls.
                _ = connected.changed() => Ok(None),
                pulled = self.pull_one(consumer, source) => pulled,
            };
            match pulled {
                Ok(Some(delivery)) => return Some(delivery),
                Ok(None) => {}
                Err(why) => {
                    warn!(?consumer, why, "failed to pull; trying again");
                    *source = None;
                    tokio::select! {
                        () = stop.cancelled() => return None,
                        () = tokio::time::sleep(BACK_OFF) => {}
                    }
                }
            }
        }
    }

    /// One pull for one message: made when somebody is free for it, and only then.
    ///
    /// Not the library's continuous stream: with one message a pull it can lose
    /// count (the message may overtake the note that it was asked for) and then
    /// waits for a pull that nobody made, until its heartbeats are missed. And
    /// without heartbeats: a batch that receives one is never woken again.
    async fn pull_one(&self, consumer: Consumer, source: &mut Option<Source>) -> Result<Option<Delivery>, String> {
        let source = match source {
            Some(source) => source,
            None => source.insert(self.find(consumer).await?),
        };
        let pull = source.consumer.batch().max_messages(1).expires(PULL).messages().await;
        match pull.map_err(|err| err.to_string())?.next().await {
            Some(Ok(message)) => Ok(Some(Delivery::read(message, source.incarnation))),
            Some(Err(err)) => Err(err.to_string()),
            None => Ok(None),
        }
    }

    async fn find(&self, consumer: Consumer) -> Result<Source, String> {
        let (stream, name) = consumer.names();
        let stream = self.context.get_stream(stream).await.map_err(|err| err.to_string())?;
        let created = stream.cached_info().created.unix_timestamp_nanos();
        let consumer: PullConsumer = stream.get_consumer(&name).await.map_err(|err| err.to_string())?;
        Ok(Source { consumer, incarnation: i64::try_from(created).unwrap_or(i64::MAX) })
    }

    async fn settle_one<T, H>(&self, consumer: Consumer, delivery: Delivery, handler: &H)
    where
        T: Wire + Send + 'static,
        H: Handler<T>,
    {
        let span =
            info_span!("consume", otel.kind = "consumer", consumer = ?consumer, deliveries = delivery.deliveries);
        trace::adopt(&span, delivery.message.headers.as_ref());
        async {
            let verdict = match T::from_wire(&delivery.message.payload) {
                Ok(value) => {
                    let handled = AssertUnwindSafe(handler.handle(value, &delivery)).catch_unwind().await;
                    handled.unwrap_or_else(|_| {
                        tracing::error!(sequence = delivery.sequence, "a handler panicked");
                        match delivery.deliveries {
                            tried if tried >= PANICS => Verdict::Dead(format!("its handler panicked {tried} times")),
                            _ => Verdict::RetryAfter(BACK_OFF),
                        }
                    })
                }
                Err(err) => Verdict::Dead(describe(&err)),
            };
            self.settle(consumer, &delivery, verdict).await;
        }
        .instrument(span)
        .await;
    }

    async fn settle(&self, consumer: Consumer, delivery: &Delivery, verdict: Verdict) {
        let settled = match verdict {
            Verdict::Done => delivery.message.ack().await,
            Verdict::Leave => Ok(()),
            Verdict::RetryAfter(time) => delivery.message.ack_with(AckKind::Nak(Some(time))).await,
            Verdict::Dead(reason) => match self.put_aside(consumer, delivery, &reason).await {
                Ok(()) => delivery.message.ack().await,
                // Not stored elsewhere yet: it stays where it is.
                Err(()) => delivery.message.ack_with(AckKind::Nak(Some(BACK_OFF))).await,
            },
        };
        if let Err(err) = settled {
            warn!(error = %err, "failed to settle a message; it will be delivered again");
        }
    }

    /// Copies a message to the dead letters before it is acknowledged.
    async fn put_aside(&self, consumer: Consumer, delivery: &Delivery, reason: &str) -> Result<(), ()> {
        let (stream, name) = consumer.names();
        let service = name.split('-').next().unwrap_or("unknown");
        tracing::error!(stream, sequence = delivery.sequence, reason, "put a message aside that cannot be handled");
        let id = format!("{stream}:{}", delivery.sequence);
        let headers = dead::headers(delivery.message.headers.as_ref(), delivery.subject(), &name, reason);
        let subject = Subject::Dead(service).to_string();
        let payload = delivery.message.payload.clone();
        let stored = self.store_with(headers, &subject, &id, None, payload, PATIENCE).await;
        stored.map_err(|err| warn!(error = %err, "failed to store a dead letter"))?;
        self.report_lost(delivery).await
    }

    /// Tells the router of a turn that nobody will finish now, so that the
    /// person hears of it and the conversation goes on.
    async fn report_lost(&self, delivery: &Delivery) -> Result<(), ()> {
        let id =
            delivery.message.headers.as_ref().and_then(|headers| headers.get(NATS_MESSAGE_ID)).map(HeaderValue::as_str);
        let turn = id.and_then(|id| id.split(':').next()).and_then(|turn| TurnId::parse(turn).ok());
        let conversation = delivery.subject().rsplit('.').next().and_then(|last| ConversationId::parse(last).ok());
        let (Some(turn), Some(conversation)) = (turn, conversation) else { return Ok(()) };
        let lost = Inbound { conversation, route: None, event: Event::TurnLost { turn } };
        let told = self.store(Subject::Inbound(&lost.conversation), &lost.publish_id(), &lost).await;
        told.map(|_| ()).map_err(|err| warn!(error = %err, "failed to report a lost turn"))
    }
}

fn describe(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        text.push_str(": ");
        text.push_str(&err.to_string());
        cause = err.source();
    }
    text
}
