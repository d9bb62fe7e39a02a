//! What was found of the evidence, by category and over all.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

/// How deep is looked.
pub const DEPTHS: [usize; 3] = [5, 10, 20];

/// Sums over questions.
#[derive(Debug, Clone, Default)]
pub struct Score {
    questions: usize,
    /// Of the evidence of each question, the part that was found, by depth.
    recall: [f64; DEPTHS.len()],
    /// Questions with some evidence among the first ten.
    hits: usize,
}

impl Score {
    fn add(&mut self, found: &[String], evidence: &[String]) {
        self.questions += 1;
        let among =
            |depth: usize| evidence.iter().filter(|id| found.iter().take(depth).any(|found| found == *id)).count();
        for (sum, depth) in self.recall.iter_mut().zip(DEPTHS) {
            *sum += among(depth) as f64 / evidence.len() as f64;
        }
        self.hits += usize::from(among(10) > 0);
    }

    fn percent(&self, sum: f64) -> f64 {
        (sum / self.questions.max(1) as f64 * 1000.0).round() / 10.0
    }

    fn json(&self) -> Value {
        json!({
            "questions": self.questions,
            "recall@5": self.percent(self.recall[0]),
            "recall@10": self.percent(self.recall[1]),
            "recall@20": self.percent(self.recall[2]),
            "hit@10": self.percent(self.hits as f64),
        })
    }
}

/// All questions that were asked.
#[derive(Debug, Default)]
pub struct Scores {
    all: Score,
    by_category: BTreeMap<&'static str, Score>,
    times: Vec<Duration>,
}

impl Scores {
    pub fn add(&mut self, category: &'static str, found: &[String], evidence: &[String], took: Duration) {
        self.all.add(found, evidence);
        self.by_category.entry(category).or_default().add(found, evidence);
        self.times.push(took);
    }

    fn percentile_ms(&self, part: f64) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        let place = (times.len() as f64 * part) as usize;
        let time = times.get(place.min(times.len().saturating_sub(1))).copied().unwrap_or_default();
        (time.as_secs_f64() * 10_000.0).round() / 10.0
    }

    pub fn table(&self) -> String {
        let mut out =
            format!("{:<14}{:>10}{:>9}{:>9}{:>9}{:>8}\n", "", "questions", "recall@5", "@10", "@20", "hit@10");
        for (name, score) in self.by_category.iter().map(|(name, score)| (*name, score)).chain([("all", &self.all)]) {
            let [five, ten, twenty] = score.recall.map(|sum| score.percent(sum));
            let hits = score.percent(score.hits as f64);
            let _ = writeln!(out, "{name:<14}{:>10}{five:>9.1}{ten:>9.1}{twenty:>9.1}{hits:>8.1}", score.questions);
        }
        let _ = write!(out, "one question: p50 {} ms, p95 {} ms", self.percentile_ms(0.5), self.percentile_ms(0.95));
        out
    }

    /// The one line for scripts.
    pub fn summary(&self) -> Value {
        let mut summary = self.all.json();
        summary["p50_ms"] = json!(self.percentile_ms(0.5));
        summary["p95_ms"] = json!(self.percentile_ms(0.95));
        summary["by_category"] =
            self.by_category.iter().map(|(name, score)| ((*name).to_owned(), score.json())).collect();
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_is_the_part_of_the_evidence_that_was_found() {
        let ids = |numbers: std::ops::Range<u32>| numbers.map(|number| format!("D1:{number}")).collect::<Vec<_>>();
        let mut scores = Scores::default();
        scores.add("single-hop", &ids(0..20), &["D1:7".into(), "D1:30".into()], Duration::from_millis(4));
        scores.add("temporal", &ids(0..20), &["D1:0".into()], Duration::from_millis(2));
        let summary = scores.summary();
        let figure = |name: &str| summary[name].as_f64().unwrap();
        assert_eq!((figure("recall@5"), figure("recall@10"), figure("hit@10")), (50.0, 75.0, 100.0));
        assert_eq!(summary["by_category"]["single-hop"]["recall@20"], 50.0);
        assert_eq!(figure("p95_ms"), 4.0);
    }
}
