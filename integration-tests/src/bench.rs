//! What Clara costs, beside what the bus alone costs: same run, same server.
//!
//! Every figure is a median over rounds, with the spread. The floor is measured
//! on streams of its own with the library's fastest ways.

pub mod cost; // What one turn costs the machine.
pub mod floor; // The bus without Clara.
pub mod report; // The table and the line for scripts.
pub mod stages; // Where a turn's time goes, from its trace.
pub mod stops; // How long a stop takes.
pub mod turns; // Latency, throughput, first token, scale.
pub mod weight; // Memory, and the time to be ready.

use std::time::Duration;

/// What clara starts her own nats-server with: every acknowledgement means that
/// the message is on the disk.
pub const ALWAYS: &str = "jetstream { {store}, sync_interval: always }\nmax_payload: 8MB\n";
/// The server's own default: on the disk within two minutes.
pub const INTERVAL: &str = testkit::nats::CONFIGURATION;

/// The same figure, measured several times.
#[derive(Debug, Clone, Default)]
pub struct Rounds(pub Vec<f64>);

impl Rounds {
    /// The middle value; of an even number, the mean of the middle two.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.get(sorted.len().saturating_sub(1) / 2..=sorted.len() / 2).unwrap_or_default();
        match middle {
            [one, other] if sorted.len().is_multiple_of(2) => (one + other) / 2.0,
            _ => middle.first().copied().unwrap_or(0.0),
        }
    }

    pub fn spread(&self) -> (f64, f64) {
        (percentile(&self.0, 0.0), percentile(&self.0, 1.0))
    }
}

/// The value below which a part of the values lies; 0 without values.
pub fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (part * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(place).copied().unwrap_or(0.0)
}

pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let median = |values: &[f64]| Rounds(values.to_vec()).median();
        assert_eq!((median(&[]), median(&[7.0]), median(&[3.0, 1.0])), (0.0, 7.0, 2.0));
        assert_eq!((median(&[9.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 9.0])), (2.0, 3.0));
    }
}
