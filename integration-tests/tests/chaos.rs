//! The short chaos run: every kind of fault once. `just chaos` has the long one.

use integration_tests::chaos::report::Report;
use integration_tests::chaos::scenarios::{self, Length};

#[tokio::test(flavor = "multi_thread")]
async fn promise_holds() {
    let mut report = Report { seed: fastrand::u64(0..1_000_000_000), rows: Vec::new() };
    println!("seed {}\n{}", report.seed, Report::header());
    for scenario in scenarios::all().into_iter().filter(|scenario| scenario.in_short) {
        let row = (scenario.run)(scenario.name, Length::Short, report.seed).await;
        println!("{}", Report::line(&row));
        report.rows.push(row);
    }
    assert!(report.holds(), "seed {}: {}", report.seed, report.summary());
}
