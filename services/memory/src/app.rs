//! Building and running the memory service.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::Context;
use bus::{Bus, Consumer, JournalStore};
use embed::Embedder;
use jiff::tz::TimeZone;
use service_kit::breaker::Breaker;
use service_kit::run::Service;
use service_kit::settings::Settings;
use service_kit::supervision::Part;

use crate::actors::comparer::Comparer;
use crate::actors::embedder::{self, PassageEmbedder};
use crate::actors::eraser::{self, Eraser};
use crate::actors::facts::FactServer;
use crate::actors::learner::{self, Learner};
use crate::actors::mirroring::{self, Erases, Mirroring};
use crate::actors::passages::PassageServer;
use crate::actors::projector::Projector;
use crate::actors::recall::RecallServer;
use crate::actors::sessions::SessionServer;
use crate::actors::summarizer::{self, Summarizer};
use crate::actors::traces::Traces;
use crate::adapters::sql::SqlMemory;
use crate::background::{self, Bell};
use crate::indexes::Indexes;
use crate::knowledge::Knowledge;
use crate::learning::Learning;
use crate::mirrors::{GraphStore, Mirrored, Point, Related, VectorStore};
use crate::open;
use crate::reader::Reader;
use crate::search::Search;

/// Journal records that are projected at the same time.
const PROJECTIONS: usize = 16;

/// A store beside the database, and what fills it.
type Beside<S, I> = (Arc<S>, Arc<Mirroring<I>>);

/// The memory service, connected.
pub struct App {
    bus: Bus,
    memory: Arc<SqlMemory>,
    model: Option<Arc<dyn Embedder>>,
    vectors: Option<Beside<dyn VectorStore, Point>>,
    graph: Option<Beside<dyn GraphStore, Related>>,
    reader: Option<Arc<Reader>>,
    learns: bool,
    time_zone: TimeZone,
    traces: Traces,
    journals: JournalStore,
}

impl App {
    /// Opens the database, brings its schema up to date, and finds the journals.
    pub async fn build(settings: &Settings, bus: &Bus) -> anyhow::Result<Self> {
        let model = open::embedder(settings)?;
        let (learning, reader) = open::learning(settings, bus).await?;
        let database = open::database(settings).await.context("open the memory database")?;
        let project = settings.text("DEFAULT_PROJECT");
        let mut memory = SqlMemory::prepare(database, project, model.is_some(), learning).await?;

        let of_model = model.as_ref().map_or_else(String::new, |model| model.model().to_owned());
        let store = match &model {
            Some(model) => open::vectors(settings, model.model())?,
            None => None,
        };
        let copied = memory.vectors_to_mirror(&of_model);
        let vectors = match store {
            Some(store) => {
                memory = memory.comparing_elsewhere();
                Some((Arc::clone(&store), Arc::new(Mirroring::new(Arc::new(copied), store, bus.replica().to_owned()))))
            }
            None => {
                copied.queue().stop().await?;
                None
            }
        };
        let copied = memory.relations_to_mirror();
        let graph = match open::graph(settings)? {
            Some(graph) => {
                Some((Arc::clone(&graph), Arc::new(Mirroring::new(Arc::new(copied), graph, bus.replica().to_owned()))))
            }
            None => {
                copied.queue().stop().await?;
                None
            }
        };
        Ok(Self {
            bus: bus.clone(),
            memory: Arc::new(memory),
            model,
            vectors,
            graph,
            reader: reader.map(Arc::new),
            learns: learning != Learning::Off,
            time_zone: TimeZone::get(&settings.text("DEFAULT_TIMEZONE")).unwrap_or(TimeZone::UTC),
            traces: Traces { bus: bus.clone(), conversations: bus.conversations().await? },
            journals: bus.journals().await?,
        })
    }

    /// The parts that run until the process stops.
    pub fn service(self) -> anyhow::Result<Service> {
        let Self { bus, memory, model, vectors, graph, reader, learns, time_zone, traces, journals } = self;
        let stored = Bell::default();
        let name = model.as_ref().map_or_else(String::new, |model| model.model().to_owned());
        let search = Arc::new(Search {
            indexes: Indexes::new(memory.clone(), name, vectors.is_some()),
            model: model.clone(),
            model_breaker: Breaker::default(),
            vectors: vectors.as_ref().map(|(store, _)| Arc::clone(store)),
            breaker: Breaker::default(),
        });
        let knowledge = Arc::new(Knowledge {
            facts: memory.clone(),
            search: Arc::clone(&search),
            graph: graph.as_ref().map(|(store, _)| Arc::clone(store)),
            breaker: Breaker::default(),
        });
        let compared = Arc::clone(&search);
        let finder = Arc::new(PassageServer { passages: memory.clone(), search, people: memory.clone() });
        let recall = Arc::new(RecallServer {
            memory: memory.clone(),
            passages: Arc::clone(&finder),
            knowledge: Arc::clone(&knowledge),
            summaries: memory.clone(),
            intentions: memory.clone(),
            moods: memory.clone(),
            people: memory.clone(),
            projects: memory.clone(),
            time_zone,
            journals: journals.clone(),
        });
        let learner = Arc::new(Learner {
            knowledge: Arc::clone(&knowledge),
            reader: reader.clone(),
            replica: bus.replica().to_owned(),
            stored: stored.clone(),
        });

        let comparer = Arc::new(Comparer::new(compared, model.clone()));
        let mut mirrors: Vec<Arc<dyn Erases>> = Vec::new();
        let eraser = Arc::new(Eraser { facts: memory.clone(), traces: traces.clone() });
        // What is stored leaves nothing to erase.
        let mut background = vec![background::part("memory/eraser", &Bell::default(), eraser::PAUSE, eraser)];
        if learns {
            let summarizer = Arc::new(Summarizer { summaries: memory.clone(), reader });
            background.push(background::part("memory/learner", &stored, learner::PAUSE, learner.clone()));
            background.push(background::part("memory/summarizer", &stored, summarizer::PAUSE, summarizer));
        }
        if let Some(model) = model {
            let embedder = Arc::new(PassageEmbedder { passages: memory.clone(), model, done: AtomicU64::new(0) });
            background.push(background::part("memory/embedder", &stored, embedder::PAUSE, embedder));
        }
        if let Some((_, mirroring)) = vectors {
            mirrors.push(mirroring.clone());
            background.push(background::part("memory/vectors", &stored, mirroring::PAUSE, mirroring));
        }
        if let Some((_, mirroring)) = graph {
            mirrors.push(mirroring.clone());
            background.push(background::part("memory/graph", &stored, mirroring::PAUSE, mirroring));
        }

        let projector = Arc::new(Projector { memory: memory.clone(), journals, stored });
        let facts = Arc::new(FactServer {
            knowledge,
            intentions: memory.clone(),
            people: memory.clone(),
            projects: memory.clone(),
            default_project: memory.project().to_owned(),
            learner,
            traces,
            mirrors,
        });
        let sessions = Arc::new(SessionServer { sessions: memory.clone(), people: memory });
        let (one, two, three, four, five, six) = (bus.clone(), bus.clone(), bus.clone(), bus.clone(), bus.clone(), bus);
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
            Part::new("memory/compare", move |stop| {
                let (bus, comparer) = (six.clone(), Arc::clone(&comparer));
                async move { Ok(bus.answer("memory-compare", bus::Endpoints::MemoryCompare, comparer, stop).await?) }
            }),
            Part::new("memory/sessions", move |stop| {
                let (bus, sessions) = (five.clone(), Arc::clone(&sessions));
                async move { Ok(bus.answer("memory-sessions", bus::Endpoints::MemorySessions, sessions, stop).await?) }
            }),
        ];
        Ok(Service { name: "memory", parts: parts.into_iter().chain(background).collect() })
    }
}
