//! Building and running the memory service.

use std::sync::Arc;

use anyhow::Context;
use bus::{Bus, Consumer};
use service_kit::run::Service;
use service_kit::settings::Settings;
use service_kit::supervision::Part;
use store::Database;

use crate::actors::{facts::FactServer, projector::Projector, recall::RecallServer};
use crate::adapters::sql::SqlMemory;
use crate::ports::Memory;

/// Journal records that are projected at the same time.
const PROJECTIONS: usize = 16;

/// The memory service, connected.
pub struct App {
    bus: Bus,
    memory: Arc<dyn Memory>,
    journals: bus::JournalStore,
}

impl App {
    /// Opens the database, brings its schema up to date, and finds the journals.
    pub async fn build(settings: &Settings, bus: &Bus) -> anyhow::Result<Self> {
        let database = match settings.optional("DATABASE_URL") {
            Some(url) if url.starts_with("postgres") => Database::postgres(&url).await,
            Some(url) => Database::sqlite(std::path::Path::new(url.trim_start_matches("sqlite://"))).await,
            None => Database::sqlite(&settings.data_dir().join("memory.sqlite")).await,
        };
        let memory =
            SqlMemory::prepare(database.context("open the memory database")?, settings.text("DEFAULT_PROJECT")).await?;
        Ok(Self { bus: bus.clone(), memory: Arc::new(memory), journals: bus.journals().await? })
    }

    /// The parts that run until the process stops.
    pub fn service(self) -> anyhow::Result<Service> {
        let Self { bus, memory, journals } = self;
        let projector = Arc::new(Projector { memory: Arc::clone(&memory), journals: journals.clone() });
        let recall = Arc::new(RecallServer { memory: Arc::clone(&memory), journals });
        let facts = Arc::new(FactServer { memory });
        let (one, two, three) = (bus.clone(), bus.clone(), bus);
        Ok(Service {
            name: "memory",
            parts: vec![
                Part::new("memory/projector", move |stop| {
                    let (bus, projector) = (one.clone(), Arc::clone(&projector));
                    async move { Ok(bus.consume(Consumer::Memory, PROJECTIONS, projector, stop).await?) }
                }),
                Part::new("memory/recall", move |stop| {
                    let (bus, recall) = (two.clone(), Arc::clone(&recall));
                    async move { Ok(bus.answer("memory-recall", bus::Endpoints::MemoryRecall, recall, stop).await?) }
                }),
                Part::new("memory/facts", move |stop| {
                    let (bus, facts) = (three.clone(), Arc::clone(&facts));
                    async move { Ok(bus.answer("memory-facts", bus::Endpoints::MemoryFacts, facts, stop).await?) }
                }),
            ],
        })
    }
}
