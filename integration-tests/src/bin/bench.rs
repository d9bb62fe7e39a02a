//! `just bench`: measures Clara beside the bus that she runs on.
#![allow(clippy::unwrap_used, reason = "a run that meets the unexpected has failed")]

use std::time::Duration;

use clap::{Parser, ValueEnum};
use integration_tests::bench::cost::Cost;
use integration_tests::bench::report::Report;
use integration_tests::bench::{ALWAYS, INTERVAL, floor, stages, turns, weight};

/// Measures the bus alone and Clara on it, in turn, on the same nats-server.
#[derive(Debug, Parser)]
struct Options {
    /// How often each figure is measured; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=50))]
    rounds: u64,
    /// When the server acknowledges: after the disk has it, or at once.
    #[arg(long, value_enum, default_value = "always")]
    sync: Sync,
    /// Only latency and throughput, two rounds.
    #[arg(long)]
    quick: bool,
    /// End with one line of JSON; the table goes to standard error.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sync {
    /// What `clara up` starts: acknowledged when the disk has it.
    Always,
    /// The server's default: the disk has it within two minutes.
    Interval,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let server = if matches!(options.sync, Sync::Always) { ALWAYS } else { INTERVAL };
    let rounds = if options.quick { 2 } else { options.rounds };
    let time = Duration::from_secs(if options.quick { 2 } else { 4 });
    let say = |line: &str| eprintln!("bench: {line}");
    let mut report = Report::default();
    {
        say("latency and throughput");
        let mut sandbox = turns::plan(server).start().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        report.idle_mb = weight::of_services(&mut sandbox);
        for round in 0..rounds {
            say(&format!("round {} of {rounds}", round + 1));
            report.floors.push(floor::measure(&sandbox.nats.url(), 300, time).await?);
            report.latencies.push(turns::latency(&sandbox, 300).await);
            for in_flight in [1, 8, 32, 64, 128, 256] {
                let (rate, failures) = turns::throughput(&sandbox, in_flight, time).await;
                report.throughput.entry(in_flight).or_default().0.push(rate);
                report.failures += failures;
            }
            if round + 1 == rounds {
                let before = Cost::now(&mut sandbox).await?;
                let begun = std::time::Instant::now();
                let (rate, failures) = turns::throughput(&sandbox, 64, time).await;
                report.failures += failures;
                // The rate is of the time after the start; the cost is of all of it.
                let turns = rate * begun.elapsed().as_secs_f64();
                report.cost = Cost::now(&mut sandbox).await?.each_since(&before, turns);
            }
        }
        report.busy_mb = weight::of_services(&mut sandbox);
    }
    say("stages");
    report.stages = stages::split(server, 100).await?;
    if !options.quick {
        say("streaming");
        report.streaming = Some(turns::streaming(server, 100).await?);
        say("the time to be ready");
        let (megabytes, ready) = weight::all_in_one(server, 10);
        report.idle_mb.insert("clara".to_owned(), megabytes);
        report.ready_ms.0 = ready;
        say("1, 2 and 4 orchestrators");
        report.scale = turns::scale(server, Duration::from_secs(12)).await;
        for count in [1000, 10_000] {
            say(&format!("{count} turns in flight"));
            report.in_flight_kb.insert(count, weight::in_flight(server, count).await?);
        }
    }
    if options.json {
        eprintln!("{}", report.table());
        println!("{}", report.summary());
    } else {
        println!("{}", report.table());
    }
    Ok(())
}
