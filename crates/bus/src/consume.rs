//! Pulling messages with a limit, and settling each after its effect is durable.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::header::{HeaderValue, NATS_MESSAGE_ID};
use async_nats::jetstream::{AckKind, Message};
use async_trait::async_trait;
use bytes::Bytes;
use domain::conversation::Position;
use domain::ids::{ConversationId, TurnId};
use domain::message::{Event, Inbound};
use futures::FutureExt;
use proto::Wire;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info_span, warn};

use crate::publish::PATIENCE;
use crate::pull::{Pull, Pulled};
use crate::{Bus, BusError, Subject, dead, trace};

/// How long a message may wait here before it begins: less than its `ack_wait`.
const STALE: Duration = Duration::from_secs(20);
/// How long to wait after a pull that failed.
const BACK_OFF: Duration = Duration::from_millis(500);
/// How often work in progress is reported: a fifth of `ack_wait`.
const PROGRESS: Duration = Duration::from_secs(6);
/// How long the server's word on that may take.
const CONFIRM: Duration = Duration::from_secs(4);
/// Deliveries after which a message whose handler panics is put aside. A handler
/// that asks for another try is never counted: a database may be away for hours.
const PANICS: i64 = 5;

/// Which consumer of `nats/streams.toml` to pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumer {
    /// The router's, one a partition.
    Router(u16),
    Timer,
    Processor,
    Orchestrator,
    ToolBuiltin,
    ToolMcp,
    ToolSandbox,
    AdapterCli,
    Memory,
}

impl Consumer {
    fn names(self) -> (&'static str, String) {
        match self {
            Consumer::Router(partition) => ("CLARA_INBOUND", format!("router-{partition}")),
            Consumer::Timer => ("CLARA_TIMERS", "timer".into()),
            Consumer::Processor => ("CLARA_TURNS", "processor".into()),
            Consumer::Orchestrator => ("CLARA_TURNS", "orchestrator".into()),
            Consumer::ToolBuiltin => ("CLARA_TOOLS", "tool-builtin".into()),
            Consumer::ToolSandbox => ("CLARA_TOOLS", "tool-sandbox".into()),
            Consumer::ToolMcp => ("CLARA_TOOLS", "tool-mcp".into()),
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
    pull: Pull,
    /// When the stream was created, in nanoseconds since the Unix epoch. A
    /// stream that is recreated ends its pulls, and the next ones read this anew.
    incarnation: i64,
}

/// One message as it was delivered.
pub struct Delivery {
    message: Message,
    client: Client,
    deliveries: i64,
    sequence: u64,
    incarnation: i64,
}

impl Delivery {
    fn read(message: Message, client: Client, incarnation: i64) -> Self {
        let (deliveries, sequence) = message.info().map_or((1, 0), |info| (info.delivered, info.stream_sequence));
        Self { message, client, deliveries, sequence, incarnation }
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
    /// the message is not given to somebody else. `None`: the server has not
    /// confirmed that for so long (a freeze, a cut) that somebody else may have
    /// it by now, and the work was dropped.
    pub async fn keep_alive<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        let mut confirmed = Instant::now();
        let mut tick = tokio::time::interval_at(confirmed + PROGRESS, PROGRESS);
        loop {
            tokio::select! {
                biased;
                _ = tick.tick() => {
                    if confirmed.elapsed() >= PATIENCE - PROGRESS / 2 {
                        warn!(sequence = self.sequence, "lost the lease of a message; leaving it to others");
                        return None;
                    }
                    let asked = Instant::now();
                    tokio::select! {
                        done = &mut work => return Some(done),
                        report = self.report_progress() => match report {
                            Ok(()) => confirmed = asked,
                            Err(why) => warn!(why, "failed to report progress"),
                        },
                    }
                }
                done = &mut work => return Some(done),
            }
        }
    }

    /// Tells the server that the work goes on, and waits for its word.
    async fn report_progress(&self) -> Result<(), String> {
        let reply = self.message.reply.clone().ok_or("the message has no reply subject")?;
        let asked = self.client.request(reply, "+WPI".into());
        match tokio::time::timeout(CONFIRM, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(err)) => Err(err.to_string()),
            Err(_) => Err(format!("no answer within {CONFIRM:?}")),
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
        let freed = Arc::new(Notify::new());
        let working = TaskTracker::new();
        let mut connected = self.connected();
        connected.mark_unchanged();
        let mut source: Option<Source> = None;
        while !stop.is_cancelled() {
            let next = match self.next_delivery(consumer, &mut source, &mut connected, &permits, &freed, &stop).await {
                Ok(next) => next,
                Err(why) => {
                    warn!(?consumer, why, "failed to pull; trying again");
                    hand_over(source.take()).await;
                    let _ = tokio::time::timeout(BACK_OFF, stop.cancelled()).await;
                    continue;
                }
            };
            let Some(delivery) = next else { continue };
            let came = Instant::now();
            // Nearly always there is one: as many were asked for as may be in work.
            let permit = tokio::select! {
                permit = Arc::clone(&permits).acquire_owned() => permit,
                () = stop.cancelled() => {
                    self.settle(consumer, &delivery, Verdict::RetryAfter(Duration::ZERO)).await;
                    break;
                }
            };
            let Ok(permit) = permit else { break };
            if came.elapsed() > STALE {
                // Somebody else has it by now, or will.
                continue;
            }
            let (bus, handler, freed) = (self.clone(), Arc::clone(&handler), Arc::clone(&freed));
            working.spawn(async move {
                bus.settle_one(consumer, delivery, handler.as_ref()).await;
                drop(permit);
                freed.notify_one();
            });
        }
        hand_over(source).await;
        working.close();
        working.wait().await;
        Ok(())
    }

    /// Waits for a message, or for a reason to ask for more. `None`: look again.
    async fn next_delivery(
        &self,
        consumer: Consumer,
        known: &mut Option<Source>,
        connected: &mut watch::Receiver<bool>,
        permits: &Semaphore,
        freed: &Notify,
        stop: &CancellationToken,
    ) -> Result<Option<Delivery>, String> {
        let source = match known {
            Some(source) => source,
            None => known.insert(self.find(consumer).await?),
        };
        source.pull.ask_for(permits.available_permits()).await?;
        let is_new_connection = tokio::select! {
            () = stop.cancelled() => false,
            () = freed.notified() => false,
            _ = connected.changed() => *connected.borrow_and_update(),
            pulled = source.pull.next() => {
                return Ok(match pulled? {
                    Pulled::Message(message) => Some(Delivery::read(*message, self.client.clone(), source.incarnation)),
                    Pulled::Expired => None,
                });
            }
        };
        if is_new_connection {
            // A server that was restarted has forgotten what it was asked, and its
            // streams may be others.
            hand_over(known.take()).await;
        }
        Ok(None)
    }

    async fn find(&self, consumer: Consumer) -> Result<Source, String> {
        let (stream, name) = consumer.names();
        let found = self.context.get_stream(stream).await.map_err(|err| err.to_string())?;
        let created = found.cached_info().created.unix_timestamp_nanos();
        let pull = Pull::open(&self.client, &self.context, stream, &name).await?;
        Ok(Source { pull, incarnation: i64::try_from(created).unwrap_or(i64::MAX) })
    }

    async fn settle_one<T, H>(&self, consumer: Consumer, mut delivery: Delivery, handler: &H)
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
                    // The bytes hold a part of the connection's buffer; thousands may be in work.
                    delivery.message.message.payload = Bytes::new();
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
        let mut payload = delivery.message.payload.clone();
        if payload.is_empty() {
            payload = self
                .payload_at(stream, delivery.sequence)
                .await
                .map_err(|why| warn!(why, "failed to read a message again"))?;
        }
        let stored = self.store_with(headers, &subject, &id, None, payload, PATIENCE).await;
        stored.map_err(|err| warn!(error = %err, "failed to store a dead letter"))?;
        self.report_lost(delivery).await
    }

    /// The bytes of a message that is not acknowledged yet.
    async fn payload_at(&self, stream: &str, sequence: u64) -> Result<Bytes, String> {
        let stream = self.context.get_stream_no_info(stream).await.map_err(|err| err.to_string())?;
        stream.get_raw_message(sequence).await.map(|message| message.payload).map_err(|err| err.to_string())
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

/// Asks for nothing more; what was on its way goes to another replica at once.
async fn hand_over(source: Option<Source>) {
    let Some(source) = source else { return };
    for message in source.pull.close().await {
        if let Err(err) = message.ack_with(AckKind::Nak(None)).await {
            warn!(error = %err, "failed to hand a message over");
        }
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
