//! `just chaos`: runs the chaos suite and says whether the promise held.
#![allow(clippy::unwrap_used, reason = "a run that meets the unexpected has failed")]

use std::process::ExitCode;

use clap::Parser;
use integration_tests::chaos::report::Report;
use integration_tests::chaos::scenarios::{self, Length};

/// Kills, freezes, cuts off and floods a Clara of processes, and counts what
/// came of every accepted message: exactly one answer, in order, nothing twice.
#[derive(Debug, Parser)]
struct Options {
    /// Draws the same numbers again.
    #[arg(long)]
    seed: Option<u64>,
    /// A few minutes instead of many: every kind of fault once.
    #[arg(long)]
    short: bool,
    /// Only scenarios whose name has this in it.
    #[arg(long)]
    only: Option<String>,
    /// Print the names of the scenarios.
    #[arg(long)]
    list: bool,
    /// End with one line of JSON; the table goes to standard error.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let length = if options.short { Length::Short } else { Length::Long };
    let wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let chosen = scenarios::all().into_iter().filter(|scenario| wanted(scenario.name));
    let chosen: Vec<_> = chosen.filter(|scenario| scenario.in_short || !options.short).collect();
    if options.list {
        chosen.iter().for_each(|scenario| println!("{}", scenario.name));
        return ExitCode::SUCCESS;
    }
    let say = |line: &str| if options.json { eprintln!("{line}") } else { println!("{line}") };
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(0..1_000_000_000));
    say(&format!("seed {seed}; the same again: just chaos --seed {seed}"));
    say(&Report::header());
    let mut report = Report { seed, rows: Vec::new() };
    for scenario in chosen {
        let row = (scenario.run)(scenario.name, length, seed).await;
        say(&Report::line(&row));
        report.rows.push(row);
    }
    if options.json {
        println!("{}", report.summary());
    }
    if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
