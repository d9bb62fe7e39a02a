//! The table for people and the last line for scripts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Longest time after the heal that the bar allows, in milliseconds.
pub const RECOVERY_MS: i64 = 60_000;
/// Violations of one scenario that are printed.
const SHOWN: usize = 8;

/// What came of one scenario.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub scenario: String,
    pub accepted: usize,
    pub answered: usize,
    pub lost: usize,
    pub doubled: usize,
    pub misordered: usize,
    pub kills: usize,
    pub model_calls: usize,
    /// What the same messages cost when nothing goes wrong.
    pub model_calls_undisturbed: usize,
    pub rebilled_model_calls: usize,
    pub side_effects: usize,
    pub repeated_side_effects: usize,
    pub slowest_recovery_ms: i64,
    /// Replies by kind.
    pub kinds: BTreeMap<String, usize>,
    /// Messages that were told why there is no answer.
    pub failed: Vec<String>,
    /// What else must not be.
    pub violations: Vec<String>,
}

impl Row {
    /// Whether the promise held.
    pub fn holds(&self) -> bool {
        self.accepted > 0
            && self.answered == self.accepted
            && self.lost + self.doubled + self.misordered + self.repeated_side_effects == 0
            && self.slowest_recovery_ms <= RECOVERY_MS
            && self.violations.is_empty()
    }
}

/// Every scenario of a run.
#[derive(Debug, Clone)]
pub struct Report {
    pub seed: u64,
    pub rows: Vec<Row>,
}

impl Report {
    pub fn holds(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(Row::holds)
    }

    pub fn header() -> String {
        format!(
            "{:<34} {:>8} {:>8}  {:<13} {:>13} {:>8} {:>9} {:>8}",
            "scenario", "accepted", "answered", "lost/2x/order", "model calls", "rebilled", "tool runs", "recovery"
        )
    }

    pub fn line(row: &Row) -> String {
        let counts = format!("{} / {} / {}", row.lost, row.doubled, row.misordered);
        let calls = format!("{} of {}", row.model_calls, row.model_calls_undisturbed);
        let effects = format!("{} +{}", row.side_effects, row.repeated_side_effects);
        let mut text = format!(
            "{:<34} {:>8} {:>8}  {counts:<13} {calls:>13} {:>8} {effects:>9} {:>7.1}s {}",
            row.scenario,
            row.accepted,
            row.answered,
            format!("{}/{}k", row.rebilled_model_calls, row.kills),
            row.slowest_recovery_ms as f64 / 1000.0,
            if row.holds() { "ok" } else { "BROKEN" },
        );
        for violation in row.violations.iter().take(SHOWN) {
            text.push_str(&format!("\n    {violation}"));
        }
        if row.violations.len() > SHOWN {
            text.push_str(&format!("\n    and {} more", row.violations.len() - SHOWN));
        }
        text
    }

    /// The last line of `--json`.
    pub fn summary(&self) -> Value {
        let sum = |count: fn(&Row) -> usize| self.rows.iter().map(count).sum::<usize>();
        let slowest = self.rows.iter().map(|row| row.slowest_recovery_ms).max().unwrap_or(0);
        json!({
            "seed": self.seed,
            "scenarios": self.rows.len(),
            "accepted": sum(|row| row.accepted),
            "answered": sum(|row| row.answered),
            "lost": sum(|row| row.lost),
            "doubled": sum(|row| row.doubled),
            "misordered": sum(|row| row.misordered),
            "rebilled_model_calls": sum(|row| row.rebilled_model_calls),
            "repeated_side_effects": sum(|row| row.repeated_side_effects),
            "slowest_recovery_s": slowest as f64 / 1000.0,
        })
    }
}
