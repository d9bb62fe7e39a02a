//! The short chaos run: every kind of fault once. `just chaos` has the long one.

use integration_tests::chaos::report::Report;
use integration_tests::chaos::scenarios::{self, JOBS, Length};

#[tokio::test(flavor = "multi_thread")]
async fn promise_holds() {
    let mut report = Report { seed: fastrand::u64(0..1_000_000_000), rows: Vec::new() };
    println!("seed {}\n{}", report.seed, Report::header());
    let short = scenarios::all().into_iter().filter(|scenario| scenario.in_short).collect();
    let seed = report.seed;
    let note = |row| {
        println!("{}", Report::line(&row));
        report.rows.push(row);
    };
    scenarios::run(short, Length::Short, seed, JOBS, note).await;
    assert!(report.holds(), "seed {}: {}", report.seed, report.summary());
}
