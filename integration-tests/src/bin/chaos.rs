//! `just chaos`: runs the chaos suite and says whether the promise held.
#![allow(clippy::unwrap_used, reason = "a run that meets the unexpected has failed")]

use std::process::ExitCode;

use clap::Parser;
use clap::builder::TypedValueParser;
use integration_tests::chaos::report::{Report, Row};
use integration_tests::chaos::scenarios::{self, JOBS, Length};

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
    /// How many scenarios run at the same time.
    #[arg(long, default_value_t = JOBS, value_parser = clap::value_parser!(u8).range(1..=16).map(usize::from))]
    jobs: usize,
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
    let note = |row: Row| {
        say(&Report::line(&row));
        report.rows.push(row);
    };
    scenarios::run(chosen, length, seed, options.jobs, note).await;
    if options.json {
        println!("{}", report.summary());
    }
    if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
