//! Building and running the memory service.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use bus::{Bus, Consumer};
use embed::{Bert, Embedder};
use service_kit::run::Service;
use service_kit::settings::Settings;
use service_kit::supervision::Part;
use store::Database;
use tokio::sync::Notify;

use crate::actors::embedder::PassageEmbedder;
use crate::actors::passages::PassageServer;
use crate::actors::{facts::FactServer, projector::Projector, recall::RecallServer};
use crate::adapters::sql::SqlMemory;
use crate::indexes::Indexes;
use crate::ports::{Memory, Passages};

/// Journal records that are projected at the same time.
const PROJECTIONS: usize = 16;

/// The memory service, connected.
pub struct App {
    bus: Bus,
    memory: Arc<dyn Memory>,
    passages: Arc<dyn Passages>,
    model: Option<Arc<dyn Embedder>>,
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
        let model = match settings.optional("CLARA_EMBEDDING_FOLDER") {
            Some(folder) => Some(Arc::new(Bert::open(Path::new(&folder))?) as Arc<dyn Embedder>),
            None => None,
        };
        let (database, project) = (database.context("open the memory database")?, settings.text("DEFAULT_PROJECT"));
        let memory = Arc::new(SqlMemory::prepare(database, project, model.is_some()).await?);
        let passages: Arc<dyn Passages> = memory.clone();
        Ok(Self { bus: bus.clone(), memory, passages, model, journals: bus.journals().await? })
    }

    /// The parts that run until the process stops.
    pub fn service(self) -> anyhow::Result<Service> {
        let Self { bus, memory, passages, model, journals } = self;
        let stored = Arc::new(Notify::new());
        let projector =
            Projector { memory: Arc::clone(&memory), journals: journals.clone(), stored: Arc::clone(&stored) };
        let projector = Arc::new(projector);
        let name = model.as_ref().map_or_else(String::new, |model| model.model().to_owned());
        let indexes = Indexes::new(Arc::clone(&passages), name);
        let finder = Arc::new(PassageServer { passages: Arc::clone(&passages), indexes, model: model.clone() });
        let recall = Arc::new(RecallServer { memory: Arc::clone(&memory), passages: Arc::clone(&finder), journals });
        let facts = Arc::new(FactServer { memory });
        let embedder = model.map(|model| {
            let embedder = Arc::new(PassageEmbedder { passages, model, stored });
            Part::new("memory/embedder", move |stop| {
                let embedder = Arc::clone(&embedder);
                async move { embedder.run(stop).await }
            })
        });
        let (one, two, three, four) = (bus.clone(), bus.clone(), bus.clone(), bus);
        let parts = vec![
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
            Part::new("memory/passages", move |stop| {
                let (bus, finder) = (four.clone(), Arc::clone(&finder));
                async move { Ok(bus.answer("memory-passages", bus::Endpoints::MemoryPassages, finder, stop).await?) }
            }),
        ];
        Ok(Service { name: "memory", parts: parts.into_iter().chain(embedder).collect() })
    }
}
