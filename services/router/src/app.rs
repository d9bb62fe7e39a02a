//! Building and running the router.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bus::{Bus, Consumer};
use domain::conversation::Limits;
use domain::ids::PARTITIONS;
use domain::queue::QueueMode;
use service_kit::run::Service;
use service_kit::settings::Settings;
use service_kit::supervision::Part;

use crate::actors::janitor;
use crate::actors::partition::Partition;
use crate::actors::sweeper::Sweeper;
use crate::actors::timers::Timers;
use crate::recent::Recent;

/// Bytes of text that may wait in one conversation: with the outbox beside it,
/// the record must fit into one message of the bus.
const WAITING_BYTES: usize = 256 * 1024;

/// Timers that are handled at the same time.
const TIMERS: usize = 16;

/// The router, connected.
pub struct App {
    bus: Bus,
    partition: Arc<Partition>,
    sweeper: Arc<Sweeper>,
    keep: Duration,
}

impl App {
    /// Finds the conversations and the inbound stream.
    pub async fn build(settings: &Settings, bus: &Bus) -> anyhow::Result<Self> {
        let limits = Limits {
            waiting_messages: usize::try_from(settings.number("CLARA_MAX_WAITING_MESSAGES"))?,
            waiting_bytes: WAITING_BYTES,
            stop_phrases: settings.list("CLARA_STOP_PHRASES"),
            direct: mode(settings, "CLARA_QUEUE_MODE_DIRECT")?,
            group: mode(settings, "CLARA_QUEUE_MODE_GROUP")?,
            debounce_ms: settings.number("MESSAGE_DEBOUNCE_SECONDS") * 1000,
            approval_ms: settings.number("CLARA_APPROVAL_MINUTES") * 60_000,
            admins: settings.list("CLARA_ADMINS"),
        };
        let partition = Arc::new(Partition {
            bus: bus.clone(),
            conversations: bus.conversations().await?,
            journals: bus.journals().await?,
            limits,
            recent: Recent::default(),
        });
        let sweeper = Sweeper {
            bus: bus.clone(),
            conversations: partition.conversations.clone(),
            journals: partition.journals.clone(),
            every: Duration::from_secs(settings.number("CLARA_SWEEP_SECONDS")),
        };
        let keep = Duration::from_secs(settings.number("CLARA_INBOUND_KEEP_SECONDS"));
        Ok(Self { bus: bus.clone(), partition, sweeper: Arc::new(sweeper), keep })
    }

    /// One part for each partition. Every replica pulls all of them: the server
    /// hands out one message of a partition at a time, to whoever is free.
    pub fn service(self) -> anyhow::Result<Service> {
        let part = |number: u16| {
            let (bus, partition) = (self.bus.clone(), Arc::clone(&self.partition));
            Part::new(format!("router/{number}"), move |stop| {
                let (bus, partition) = (bus.clone(), Arc::clone(&partition));
                async move { Ok(bus.consume(Consumer::Router(number), 1, partition, stop).await?) }
            })
        };
        let (bus, keep) = (self.bus.clone(), self.keep);
        let janitor = Part::new("router/janitor", move |stop| janitor::run(bus.clone(), keep, stop));
        let sweeper = Part::new("router/sweeper", move |stop| {
            let sweeper = Arc::clone(&self.sweeper);
            async move { sweeper.run(stop).await }
        });
        let timers = {
            let (bus, timers) = (self.bus.clone(), Arc::new(Timers { bus: self.bus.clone() }));
            Part::new("router/timers", move |stop| {
                let (bus, timers) = (bus.clone(), Arc::clone(&timers));
                async move { Ok(bus.consume(Consumer::Timer, TIMERS, timers, stop).await?) }
            })
        };
        let parts = (0..PARTITIONS).map(part).chain([janitor, sweeper, timers]).collect();
        Ok(Service { name: "router", parts })
    }
}

fn mode(settings: &Settings, name: &str) -> anyhow::Result<QueueMode> {
    QueueMode::parse(&settings.text(name)).with_context(|| format!("{name} names no queue mode"))
}
