//! `just eval-memory FILE`: how much of the evidence she finds.
#![allow(clippy::unwrap_used, reason = "a run that meets the unexpected has failed")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use integration_tests::recall_eval::score::{DEPTHS, Scores};
use integration_tests::recall_eval::{dataset, endpoint, ingest};
use store::Database;
use testkit::sandbox::Sandbox;

/// Brings conversations into a memory service of its own, as a chat would, asks it
/// every question over the bus, and prints how much of the evidence it found.
#[derive(Debug, Parser)]
struct Options {
    /// A file of LoCoMo's form: a list of conversations with `conversation` and `qa`.
    file: PathBuf,
    /// Folder of the embedding model; without one, words alone are compared.
    #[arg(long, env = "CLARA_EMBEDDING_FOLDER")]
    model: Option<PathBuf>,
    /// Let the model be asked over HTTP, as an OpenAI-compatible endpoint: it gives vectors of texts and none of
    /// their words.
    #[arg(long, conflicts_with = "lexical")]
    as_endpoint: bool,
    /// Compare words alone, whatever is configured.
    #[arg(long)]
    lexical: bool,
    /// Only these conversations, by their `sample_id`; again for more.
    #[arg(long)]
    only: Vec<String>,
    /// End with one line of JSON; the table goes to standard error.
    #[arg(long)]
    json: bool,
}

/// How long the service may go without embedding anything.
const STUCK: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut samples = dataset::read(&options.file)?;
    if !options.only.is_empty() {
        samples.retain(|sample| options.only.contains(&sample.name));
    }
    anyhow::ensure!(!samples.is_empty(), "there is no such conversation in {}", options.file.display());
    let mut plan = Sandbox::plan().only(&["memory"]).set("CLARA_LOG", "warn").set("CLARA_LEARNING", "off");
    let folder = options.model.as_ref().filter(|_| !options.lexical).map(std::path::absolute).transpose()?;
    if options.as_endpoint {
        let folder = folder.context("a model's folder is needed: --model")?;
        plan = plan.set("CLARA_EMBEDDING_BASE_URL", endpoint::serve(&folder).await?);
    } else if let Some(folder) = folder {
        plan = plan.set("CLARA_EMBEDDING_FOLDER", folder.display());
    }
    let sandbox = plan.start().await;
    let bus = sandbox.bus().await;
    let database = Database::sqlite(&sandbox.folder().join("data/memory.sqlite")).await?;
    let mut scores = Scores::default();
    for sample in &samples {
        let said: usize = sample.sessions.iter().map(|session| session.said.len()).sum();
        eprintln!("eval-memory: {}: {said} messages, {} questions", sample.name, sample.questions.len());
        let conversation = ingest::ingest(&bus, sample).await?;
        embedded(&database).await?;
        for question in &sample.questions {
            let begun = Instant::now();
            let found = conversation.search(&question.text, DEPTHS[DEPTHS.len() - 1] as u32).await?;
            scores.add(question.category, &found, &question.evidence, begun.elapsed());
        }
    }
    if options.json {
        eprintln!("{}", scores.table());
        println!("{}", scores.summary());
    } else {
        println!("{}", scores.table());
    }
    Ok(())
}

/// Waits until nothing is left to embed.
async fn embedded(database: &Database) -> anyhow::Result<()> {
    let (mut left, mut since) = (i64::MAX, Instant::now());
    loop {
        let rows = database.fetch("SELECT COUNT(*) AS left_over FROM messages_to_embed", &[]).await?;
        let now = rows[0].integer("left_over")?;
        if now == 0 {
            return Ok(());
        }
        if now != left {
            (left, since) = (now, Instant::now());
        }
        anyhow::ensure!(since.elapsed() < STUCK, "{left} messages are not embedded");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
