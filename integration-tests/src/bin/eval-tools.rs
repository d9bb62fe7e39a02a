//! `just eval-tools FILE`: how often the tool that is needed is among those offered first.

use std::path::PathBuf;

use clap::Parser;
use integration_tests::tool_eval;

/// Ranks the tools of each line for its query, as prompts are made, and prints how often
/// the needed ones come first.
#[derive(Debug, Parser)]
struct Options {
    /// JSON lines of a `query`, its `tools` (each a `name`, a `description` and a `schema`), and the names `expected`.
    file: PathBuf,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let scores = tool_eval::score(&options.file)?;
    match options.json {
        true => println!("{}", scores.json()),
        false => println!("{scores}"),
    }
    Ok(())
}
