//! Building and running the memory service.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::Context;
use bus::{Bus, Consumer};
use domain::tier::Tier;
use embed::{Bert, Embedder};
use jiff::tz::TimeZone;
use model::{ModelConfig, Provider};
use service_kit::run::Service;
use service_kit::settings::Settings;
use service_kit::supervision::Part;
use store::Database;

use crate::actors::embedder::{self, PassageEmbedder};
use crate::actors::eraser::{self, Eraser};
use crate::actors::facts::FactServer;
use crate::actors::learner::{self, Learner, Reader};
use crate::actors::passages::PassageServer;
use crate::actors::projector::Projector;
use crate::actors::recall::RecallServer;
use crate::actors::summarizer::{self, Summarizer};
use crate::adapters::sql::SqlMemory;
use crate::background::{self, Bell};
use crate::indexes::Indexes;
use crate::knowledge::Knowledge;
use crate::learning::Learning;
use crate::ports::{Facts, Intentions, Memory, Passages, Summaries};
use crate::search::Search;

/// Journal records that are projected at the same time.
const PROJECTIONS: usize = 16;

/// The memory service, connected.
pub struct App {
    bus: Bus,
    memory: Arc<dyn Memory>,
    passages: Arc<dyn Passages>,
    facts: Arc<dyn Facts>,
    summaries: Arc<dyn Summaries>,
    intentions: Arc<dyn Intentions>,
    time_zone: TimeZone,
    reader: Option<Arc<Reader>>,
    learns: bool,
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
        let (learning, reader) = learning(settings)?;
        let memory = Arc::new(SqlMemory::prepare(database, project, model.is_some(), learning).await?);
        let (passages, facts): (Arc<dyn Passages>, Arc<dyn Facts>) = (memory.clone(), memory.clone());
        let (summaries, intentions): (Arc<dyn Summaries>, Arc<dyn Intentions>) = (memory.clone(), memory.clone());
        let time_zone = TimeZone::get(&settings.text("DEFAULT_TIMEZONE")).unwrap_or(TimeZone::UTC);
        let (journals, learns) = (bus.journals().await?, learning != Learning::Off);
        Ok(Self {
            bus: bus.clone(),
            memory,
            passages,
            facts,
            summaries,
            intentions,
            time_zone,
            reader: reader.map(Arc::new),
            learns,
            model,
            journals,
        })
    }

    /// The parts that run until the process stops.
    pub fn service(self) -> anyhow::Result<Service> {
        let Self { bus, memory, passages, facts, summaries, intentions, time_zone, reader, learns, model, journals } =
            self;
        let stored = Bell::default();
        let projector = Projector { memory: Arc::clone(&memory), journals: journals.clone(), stored: stored.clone() };
        let projector = Arc::new(projector);
        let name = model.as_ref().map_or_else(String::new, |model| model.model().to_owned());
        let indexes = Indexes::new(Arc::clone(&passages), name);
        let search = Arc::new(Search { indexes, model: model.clone() });
        let knowledge = Arc::new(Knowledge { facts, search: Arc::clone(&search) });
        let finder = Arc::new(PassageServer { passages: Arc::clone(&passages), search });
        let recall = RecallServer {
            memory,
            passages: Arc::clone(&finder),
            knowledge: Arc::clone(&knowledge),
            summaries: Arc::clone(&summaries),
            intentions: Arc::clone(&intentions),
            time_zone,
            journals: journals.clone(),
        };
        let recall = Arc::new(recall);
        let replica = bus.replica().to_owned();
        let learner =
            Learner { knowledge: Arc::clone(&knowledge), reader: reader.clone(), replica, stored: stored.clone() };
        let learner = Arc::new(learner);
        let eraser = Arc::new(Eraser { facts: Arc::clone(&knowledge.facts), journals: journals.clone() });
        let mut background = vec![background::part("memory/eraser", &stored, eraser::PAUSE, eraser)];
        if learns {
            let summarizer = Arc::new(Summarizer { summaries, reader });
            background.push(background::part("memory/learner", &stored, learner::PAUSE, learner.clone()));
            background.push(background::part("memory/summarizer", &stored, summarizer::PAUSE, summarizer));
        }
        if let Some(model) = model {
            let embedder = Arc::new(PassageEmbedder { passages, model, done: AtomicU64::new(0) });
            background.push(background::part("memory/embedder", &stored, embedder::PAUSE, embedder));
        }
        let facts = Arc::new(FactServer { knowledge, intentions, learner, journals });
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
        Ok(Service { name: "memory", parts: parts.into_iter().chain(background).collect() })
    }
}

/// By what is learnt, and the model that is asked for it.
fn learning(settings: &Settings) -> anyhow::Result<(Learning, Option<Reader>)> {
    match settings.text("CLARA_LEARNING").as_str() {
        "off" => return Ok((Learning::Off, None)),
        "rules" => return Ok((Learning::Rules, None)),
        _ => {}
    }
    // A model that cannot be used is no reason not to remember: the orchestrator says what is wrong with it.
    let Ok(config) = ModelConfig::from_settings(settings) else { return Ok((Learning::Rules, None)) };
    if matches!(config.provider, Provider::Offline { .. }) {
        return Ok((Learning::Rules, None));
    }
    let name = settings.optional("ROOK_MODEL").unwrap_or_else(|| config.model(Tier::Low).to_owned());
    let model = model::open(&config).map_err(|err| anyhow::anyhow!("{err}"))?;
    Ok((Learning::Model, Some(Reader { model, name })))
}
