//! `just eval-tools FILE`: how often the tool that is needed is among those offered first.

use std::path::PathBuf;

use clap::Parser;
use embed::{Bert, Embedder};
use integration_tests::tool_eval;

/// Ranks the tools of each line for its query, as prompts are made, and prints how often
/// the needed ones come first.
#[derive(Debug, Parser)]
struct Options {
    /// JSON lines of a `query`, its `tools` (each a `name`, a `description` and a `schema`), and the names `expected`.
    file: PathBuf,
    /// A model that compares by meaning too, as the memory service has one.
    #[arg(long, env = "CLARA_EMBEDDING_FOLDER")]
    embedding: Option<PathBuf>,
    /// Compare by words alone.
    #[arg(long)]
    lexical: bool,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let folder = options.embedding.filter(|_| !options.lexical);
    let model = folder.map(|folder| Bert::open(&folder)).transpose()?;
    let scores = tool_eval::score(&options.file, model.as_ref().map(|model| model as &dyn Embedder)).await?;
    match options.json {
        true => println!("{}", scores.json()),
        false => println!("{scores}"),
    }
    Ok(())
}
