//! Where a turn's time goes, read from its trace: when each service begins with it,
//! and how long that takes.
//!
//! It is a run of its own: exporting costs time that the figures beside it must not
//! hold.

use std::collections::BTreeMap;
use std::time::Duration;

use testkit::collector::{Collector, Span};
use testkit::eventually;

use super::percentile;
use super::turns::{people, plan, turn};

/// Turns before the ones that count: they open connections.
const WARM: usize = 20;

/// What one service does with a turn; medians.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The service and its span; which of several alike.
    pub name: String,
    /// Since the message was taken, in microseconds.
    pub begins_us: f64,
    pub lasts_us: f64,
}

/// Turns one at a time, each with its trace, in the order in which stages begin.
pub async fn split(server: &str, samples: usize) -> anyhow::Result<Vec<Stage>> {
    let collector = Collector::start().await;
    let sandbox = plan(server)
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .set("OTEL_BSP_SCHEDULE_DELAY", 500)
        .start()
        .await;
    let people = people(&sandbox).await;
    let person = people.person(0);
    let mut answered = 0;
    for _ in 0..WARM + samples {
        answered += usize::from(turn(&person, "say x").await.is_some());
        // The end of the turn passes before the next one begins.
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    anyhow::ensure!(answered == WARM + samples, "a turn got no reply");
    let spans = eventually("the traces of all turns", async || {
        let spans = collector.spans();
        let delivered = spans.iter().filter(|span| span.name == "deliver").count();
        (delivered >= WARM + samples).then_some(spans)
    })
    .await;
    Ok(stages(spans))
}

/// What fewer than half of the turns have is left out.
fn stages(spans: Vec<Span>) -> Vec<Stage> {
    let mut traces = BTreeMap::<Vec<u8>, Vec<Span>>::new();
    for span in spans {
        traces.entry(span.trace.clone()).or_default().push(span);
    }
    let mut turns: Vec<(u64, Vec<Span>)> = Vec::new();
    for mut spans in traces.into_values() {
        spans.sort_by_key(|span| span.start_ns);
        if let Some(taken) = spans.iter().find(|span| span.name == "accept").map(|span| span.start_ns) {
            turns.push((taken, spans));
        }
    }
    turns.sort_by_key(|(taken, _)| *taken);
    let counted = &turns[WARM.min(turns.len())..];
    let mut times = BTreeMap::<String, (Vec<f64>, Vec<f64>)>::new();
    for (taken, spans) in counted {
        let mut met = BTreeMap::<String, usize>::new();
        for span in spans {
            let name = format!("{}: {}", span.service.trim_start_matches("clara-"), span.name);
            let count = met.entry(name.clone()).and_modify(|count| *count += 1).or_insert(1);
            let name = if *count == 1 { name } else { format!("{name}, {count}") };
            let (begins, lasts) = times.entry(name).or_default();
            begins.push((span.start_ns as f64 - *taken as f64) / 1e3);
            lasts.push(span.end_ns.saturating_sub(span.start_ns) as f64 / 1e3);
        }
    }
    let half = counted.len() / 2;
    let met = times.into_iter().filter(|(_, (begins, _))| begins.len() > half);
    let stage = |(name, (begins, lasts)): (String, (Vec<f64>, Vec<f64>))| Stage {
        name,
        begins_us: percentile(&begins, 0.5),
        lasts_us: percentile(&lasts, 0.5),
    };
    let mut stages: Vec<Stage> = met.map(stage).collect();
    stages.sort_by(|one, other| one.begins_us.total_cmp(&other.begins_us));
    stages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_medians_in_the_order_in_which_they_begin() {
        let span = |trace: u8, name: &str, start_us: u64, lasts_us: u64| Span {
            trace: vec![trace],
            service: "clara-router".into(),
            name: name.into(),
            start_ns: start_us * 1000,
            end_ns: (start_us + lasts_us) * 1000,
        };
        let mut spans = Vec::new();
        for turn in 0..WARM as u8 + 3 {
            let taken = u64::from(turn) * 1000;
            spans.extend([span(turn, "route", taken + 30, 5), span(turn, "accept", taken, 10 + u64::from(turn))]);
            spans.push(span(turn, "route", taken + 60, 7));
        }
        spans.push(span(WARM as u8, "seldom", 0, 1));
        spans.push(span(99, "of another trace", 0, 1));
        let stage = |name: &str, begins_us, lasts_us| Stage { name: format!("router: {name}"), begins_us, lasts_us };
        assert_eq!(
            stages(spans),
            [stage("accept", 0.0, 31.0), stage("route", 30.0, 5.0), stage("route, 2", 60.0, 7.0)]
        );
    }
}
