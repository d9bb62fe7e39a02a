//! What one turn costs the machine: processor time, durable messages, bytes.

use std::collections::BTreeMap;

use async_nats::jetstream::Context;
use futures::TryStreamExt;
use testkit::sandbox::{SERVICES, Sandbox};

/// Ticks of a second in `/proc/<pid>/stat` (`USER_HZ` of proc(5)).
const TICKS: f64 = 100.0;

/// Everything used so far, or by one turn.
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// Seconds of processor time, by process.
    pub cpu: BTreeMap<String, f64>,
    /// Messages stored, by stream.
    pub messages: BTreeMap<String, f64>,
    /// Bytes that streams keep.
    pub kept_bytes: f64,
}

impl Cost {
    /// What was used up to now.
    pub async fn now(sandbox: &mut Sandbox) -> anyhow::Result<Self> {
        let mut cost = Self::default();
        cost.cpu.insert("nats-server".to_owned(), cpu(sandbox.nats.id()));
        for name in SERVICES {
            cost.cpu.insert(name.to_owned(), cpu(sandbox.service(name, 0).id()));
        }
        let context: Context = async_nats::jetstream::new(async_nats::connect(sandbox.nats.url()).await?);
        let mut streams = context.streams();
        while let Some(stream) = streams.try_next().await? {
            cost.messages.insert(stream.config.name, stream.state.last_sequence as f64);
            cost.kept_bytes += stream.state.bytes as f64;
        }
        Ok(cost)
    }

    /// What each of `turns` has used since `before`.
    pub fn each_since(&self, before: &Self, turns: f64) -> Self {
        let each = |now: &BTreeMap<String, f64>, then: &BTreeMap<String, f64>| {
            let used = |(name, now): (&String, &f64)| (name.clone(), (now - then.get(name).unwrap_or(&0.0)) / turns);
            now.iter().map(used).filter(|(_, used)| *used > 0.0).collect()
        };
        Self {
            cpu: each(&self.cpu, &before.cpu),
            messages: each(&self.messages, &before.messages),
            kept_bytes: (self.kept_bytes - before.kept_bytes) / turns,
        }
    }
}

fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which may hold anything, utime and stime are the 12th and 13th field.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS
}
