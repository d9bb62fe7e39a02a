//! `just bench-memory`: how long she needs to find what she remembers, and how
//! quickly she learns.
#![allow(clippy::unwrap_used, reason = "a run that meets the unexpected has failed")]

use std::time::{Duration, Instant};

use bus::{Bus, Endpoints};
use clap::Parser;
use domain::ids::{ConversationId, Place};
use domain::memory::{FactAnswer, FactCommand, FactRequest, RecallRequest, Recalled};
use domain::message::{Audience, Principal};
use embed::{Embedder, Endpoint};
use integration_tests::recall_eval::dataset::{Said, Sample, Session};
use integration_tests::recall_eval::ingest;
use serde_json::json;
use store::{Database, Value};
use testkit::model::{Act, FakeModel, KEY, embeddings};
use testkit::postgres::Postgres;
use testkit::sandbox::{Plan, Sandbox};

/// Measures the memory service of its own that it starts, over the bus: with words alone,
/// or with vectors of texts too, which an endpoint on this machine makes of a question at
/// once. What a real model needs for one question comes on top (`just eval-memory`).
#[derive(Debug, Parser)]
struct Options {
    /// Memories of one person; again for more.
    #[arg(long, default_values_t = [1_000, 10_000, 100_000])]
    memories: Vec<usize>,
    /// Questions that are asked for each figure.
    #[arg(long, default_value_t = 200)]
    questions: usize,
    /// PostgreSQL too; its programs are where CLARA_TEST_POSTGRES_BIN says.
    #[arg(long)]
    postgres: bool,
    /// With vectors of 384 values.
    #[arg(long)]
    vectors: bool,
    /// Print lines of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// How long one request may take: the first one after a start reads everything.
const PATIENCE: Duration = Duration::from_secs(120);
/// The model that the endpoint is asked for, unless a setting says otherwise.
const MODEL: &str = "text-embedding-3-small";
/// Turns that are learnt from.
const TURNS: usize = 500;

const NAMES: &[&str] = &["Ida", "Paul", "Mara", "Otto", "Lena", "Hugo", "Nora", "Emil", "Rosa", "Karl"];
const PLACES: &[&str] = &["Rome", "Oslo", "Lima", "Cairo", "Paris", "Quito", "Seoul", "Dakar", "Turin", "Ghent"];
const THINGS: &[&str] = &["bicycle", "piano", "garden", "camera", "kettle", "novel", "boat", "violin", "loom", "kite"];
const COLOURS: &[&str] = &["green", "teal", "amber", "violet", "white", "grey", "crimson", "ochre", "olive", "black"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut stores = vec![("SQLite", None)];
    if options.postgres {
        stores.push(("PostgreSQL", Some(Postgres::start())));
    }
    let endpoint = FakeModel::start_forgetful(|_, _| Act::say("")).await;
    for (name, postgres) in &stores {
        let plan = || {
            let plan = Sandbox::plan().only(&["memory"]).set("CLARA_LOG", "warn");
            let plan = if options.vectors { plan.with(endpoint.as_embeddings()) } else { plan };
            match postgres {
                Some(postgres) => plan.set("DATABASE_URL", postgres.url()),
                None => plan,
            }
        };
        for memories in &options.memories {
            measure(plan(), name, postgres.as_ref(), *memories, &options).await?;
        }
        if !options.vectors {
            learn(plan(), name, &options).await?;
        }
    }
    if options.vectors {
        floor(&endpoint, &options).await?;
    }
    Ok(())
}

/// What the endpoint alone takes for a question: it is part of every figure above.
async fn floor(endpoint: &FakeModel, options: &Options) -> anyhow::Result<()> {
    let model = Endpoint::new(&format!("{}/v1", endpoint.url()), Some(KEY.into()), MODEL.to_owned())?;
    let mut times = Vec::new();
    for number in 0..options.questions {
        let begun = Instant::now();
        model.embed(vec![fact(number).1]).await?;
        times.push(begun.elapsed());
    }
    show(options, "endpoint", 1, "a question, p50 ms", ms(part(&mut times, 0.50)));
    show(options, "endpoint", 1, "a question, p95 ms", ms(part(&mut times, 0.95)));
    Ok(())
}

/// Something to remember, and a question about it.
fn fact(number: usize) -> (String, String) {
    let pick = |all: &[&'static str], by: usize| all[(number / by) % all.len()];
    let (name, place, thing, colour) = (pick(NAMES, 1), pick(PLACES, 10), pick(THINGS, 100), pick(COLOURS, 1000));
    let text = format!("{name}'s {colour} {thing} number {number} came from {place}");
    (text, format!("where did {name} get the {colour} {thing} {number}?"))
}

async fn database(sandbox: &Sandbox, postgres: Option<&Postgres>) -> anyhow::Result<Database> {
    Ok(match postgres {
        Some(postgres) => Database::postgres(&postgres.url()).await?,
        None => Database::sqlite(&sandbox.folder().join("data/memory.sqlite")).await?,
    })
}

/// Facts are written as rows: asking for each would measure the gate.
async fn fill(database: &Database, user: &str, memories: usize, vectors: bool) -> anyhow::Result<()> {
    let mut transaction = database.begin().await?;
    for number in 0..memories {
        let (id, at) = (format!("{user}-{number}"), i64::try_from(number)?);
        let values: [Value; 4] = [id.as_str().into(), user.into(), fact(number).0.into(), at.into()];
        let sql = "INSERT INTO memories (id, user_id, content, created_at, updated_at, position) VALUES ($1, $2, $3, $4, $4, $4)";
        transaction.execute(sql, &values).await?;
        let sql = "INSERT INTO memory_dynamics (memory_id, user_id, stability, difficulty, retrieval_strength, \
                   storage_strength, last_accessed_at, access_count) VALUES ($1, $2, 1, 5, 1, 0.5, $3, 0)";
        transaction.execute(sql, &[id.as_str().into(), user.into(), at.into()]).await?;
        if vectors {
            let sql = "INSERT INTO memory_vectors (memory_id, model, vector, tokens) VALUES ($1, $2, $3, $4)";
            let vector = unit(&fact(number).0).iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
            transaction.execute(sql, &[id.into(), MODEL.into(), vector.into(), Vec::new().into()]).await?;
        }
    }
    let sql = "INSERT INTO passage_changes (scope, said) VALUES ($1, $2)";
    transaction.execute(sql, &[format!("facts:{user}").into(), i64::try_from(memories)?.into()]).await?;
    transaction.commit().await?;
    Ok(())
}

async fn measure(
    plan: Plan,
    store: &str,
    postgres: Option<&Postgres>,
    memories: usize,
    options: &Options,
) -> anyhow::Result<()> {
    let sandbox = plan.start().await;
    let bus = sandbox.bus().await;
    let user = format!("person-of-{memories}");
    let database = database(&sandbox, postgres).await?;
    fill(&database, &user, memories, options.vectors).await?;
    if postgres.is_some() {
        // As its own background work does within a minute.
        database.execute("ANALYZE", &[]).await?;
    }
    let principal = Principal { user, name: "Ann".into(), tenant: "bench".into() };
    let first = Instant::now();
    recall(&bus, &principal, "anything").await?;
    let first = first.elapsed();
    let (mut searches, mut recalls, mut found) = (Vec::new(), Vec::new(), 0);
    for number in 0..options.questions {
        let number = number * memories / options.questions;
        let (text, question) = fact(number);
        let begun = Instant::now();
        let command = FactCommand::Search { query: question.clone(), limit: 10 };
        let request = FactRequest { principal: principal.clone(), asking: None, command };
        let answer: FactAnswer = bus.request(Endpoints::MemoryFacts, &request, PATIENCE).await?;
        searches.push(begun.elapsed());
        found += usize::from(answer.facts.iter().any(|fact| fact.text == text));
        let begun = Instant::now();
        recall(&bus, &principal, &question).await?;
        recalls.push(begun.elapsed());
    }
    let figures = [
        ("the first question, ms", ms(first)),
        ("a search, p50 ms", ms(part(&mut searches, 0.50))),
        ("a search, p95 ms", ms(part(&mut searches, 0.95))),
        ("what a turn recalls, p50 ms", ms(part(&mut recalls, 0.50))),
        ("what a turn recalls, p95 ms", ms(part(&mut recalls, 0.95))),
        ("questions whose fact is among ten, %", 100.0 * found as f64 / options.questions as f64),
    ];
    for (name, value) in figures {
        show(options, store, memories, name, value);
    }
    Ok(())
}

/// A text's vector as the endpoint makes it, of length 1.
fn unit(text: &str) -> Vec<f32> {
    let vector = embeddings::vector(text);
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter().map(|value| value / length).collect()
}

/// What a turn asks for.
async fn recall(bus: &Bus, principal: &Principal, query: &str) -> anyhow::Result<Recalled> {
    let place = Place { platform: "bench".into(), tenant: "bench".into(), channel: "c".into(), thread: String::new() };
    let request = RecallRequest {
        conversation: ConversationId::derive(&place),
        channel: String::new(),
        principal: principal.clone(),
        audience: Audience::Direct,
        generation: 0,
        previous: None,
        query: query.to_owned(),
        history_limit: 30,
        fact_limit: 35,
        relation_limit: 20,
        passage_limit: 10,
    };
    Ok(bus.request(Endpoints::MemoryRecall, &request, PATIENCE).await?)
}

/// How quickly statements become facts: by rules, from the first to the last.
async fn learn(plan: Plan, store: &str, options: &Options) -> anyhow::Result<()> {
    let sandbox = plan.start().await;
    let bus = sandbox.bus().await;
    let said = (0..TURNS).map(|number| Said {
        id: format!("D1:{number}"),
        speaker: "Ann".to_owned(),
        text: format!(
            "My {} number {number} is {}",
            THINGS[number % THINGS.len()],
            COLOURS[number / 10 % COLOURS.len()]
        ),
    });
    let sessions = said.map(|said| Session { at_ms: 1_683_554_160_000, said: vec![said] }).collect();
    let sample =
        Sample { name: "learn".into(), speakers: ["Ann".into(), "Bob".into()], sessions, questions: Vec::new() };
    let begun = Instant::now();
    ingest::ingest(&bus, &sample).await?;
    let principal = Principal { user: "eval-ann".into(), name: "Ann".into(), tenant: "eval".into() };
    let known = async || {
        let request = FactRequest { principal: principal.clone(), asking: None, command: FactCommand::Stats };
        let answer: FactAnswer = bus.request(Endpoints::MemoryFacts, &request, PATIENCE).await?;
        let of = |name: &str| answer.counts.iter().find(|count| count.name == name).map_or(0, |count| count.value);
        anyhow::Ok((of("memories"), of("turns to learn from")))
    };
    while known().await?.1 > 0 {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "not learnt within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    show(options, store, TURNS, "turns stored and learnt from, a second", TURNS as f64 / seconds);
    show(options, store, TURNS, "facts of them", known().await?.0 as f64);
    Ok(())
}

fn part(all: &mut [Duration], part: f64) -> Duration {
    all.sort_unstable();
    all[((all.len() as f64 * part) as usize).min(all.len() - 1)]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn show(options: &Options, store: &str, of: usize, name: &str, value: f64) {
    if options.json {
        println!("{}", json!({"store": store, "of": of, "figure": name, "value": value}));
    } else {
        println!("{store:<12} {of:>8}  {name:<44} {value:>10.1}");
    }
}
