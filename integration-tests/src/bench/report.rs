//! The table and the line for scripts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Rounds;
use super::cost::Cost;
use super::floor::Floor;
use super::stages::Stage;
use super::turns::{Latency, Streaming};

/// Everything that one run measured.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub floors: Vec<Floor>,
    pub latencies: Vec<Latency>,
    /// Where the time of a turn goes.
    pub stages: Vec<Stage>,
    /// Turns a second by how many are in flight, a round each.
    pub throughput: BTreeMap<usize, Rounds>,
    pub failures: usize,
    /// What one turn costs at 64 in flight.
    pub cost: Cost,
    /// None when it was not measured.
    pub streaming: Option<Streaming>,
    pub ready_ms: Rounds,
    pub idle_mb: BTreeMap<String, f64>,
    pub busy_mb: BTreeMap<String, f64>,
    pub in_flight_kb: BTreeMap<usize, f64>,
    pub scale: Vec<(usize, f64, usize)>,
}

impl Report {
    fn floor(&self, figure: fn(&Floor) -> f64) -> Rounds {
        Rounds(self.floors.iter().map(figure).collect())
    }

    fn turn(&self, figure: fn(&Latency) -> f64) -> Rounds {
        Rounds(self.latencies.iter().map(figure).collect())
    }

    fn best_throughput(&self) -> Rounds {
        let best = self.throughput.values().max_by(|a, b| a.median().total_cmp(&b.median()));
        best.cloned().unwrap_or_default()
    }

    /// The table: figure, median, spread, bar.
    pub fn table(&self) -> String {
        let (hop4, hop4_99) = (self.floor(|floor| floor.hop4_p50_us), self.floor(|floor| floor.hop4_p99_us));
        let (p50, p99) = (self.turn(|turn| turn.p50_us), self.turn(|turn| turn.p99_us));
        let chains = self.floor(|floor| floor.chains_per_s_32);
        let mut out = Table::default();
        out.title("The bus alone");
        out.rounds("publish-ack, p50 µs", &self.floor(|floor| floor.publish_p50_us), "");
        out.rounds("publish-ack, p99 µs", &self.floor(|floor| floor.publish_p99_us), "");
        out.rounds("one durable hop, p50 µs", &self.floor(|floor| floor.hop1_p50_us), "");
        out.rounds("four durable hops, p50 µs", &hop4, "");
        out.rounds("four durable hops, p99 µs", &hop4_99, "");
        out.rounds("four hops a second, 32 in flight", &chains, "");
        out.rounds("compare-and-set a second, one key", &self.floor(|floor| floor.cas_one_key_per_s), "");
        out.rounds("compare-and-set a second, 64 keys", &self.floor(|floor| floor.cas_64_keys_per_s), "");
        out.title("A turn with a model of 0 ms, one at a time");
        let times = |ours: f64, floor: f64, bar: f64| format!("{:.2} × the floor; bar {bar} ×", ours / floor);
        out.rounds("message → reply, p50 µs", &p50, &times(p50.median(), hop4.median(), 3.0));
        out.rounds("message → reply, p99 µs", &p99, &times(p99.median(), hop4_99.median(), 5.0));
        if !self.stages.is_empty() {
            out.title("The same, from its trace: µs after the message was taken");
        }
        for Stage { name, begins_us, lasts_us } in &self.stages {
            out.figure(name, *begins_us, &format!("lasts {lasts_us:.0}"));
        }
        out.title("Turns a second");
        for (in_flight, rates) in &self.throughput {
            out.rounds(&format!("{in_flight} in flight"), rates, "");
        }
        let ratio = self.best_throughput().median() / chains.median();
        out.rounds("at saturation", &self.best_throughput(), &format!("{ratio:.2} × the floor; bar 0.25 ×"));
        out.figure("failures", self.failures as f64, "bar 0");
        for (orchestrators, rate, _) in &self.scale {
            let one = self.scale.first().map_or(1.0, |(_, rate, _)| *rate);
            let linear = rate / one / *orchestrators as f64;
            let name = format!("{orchestrators} orchestrators of 32 turns, model of 2 s");
            out.figure(&name, *rate, &format!("{linear:.2} of linear; bar 0.9"));
        }
        out.title("One turn, at 64 in flight");
        for (process, seconds) in &self.cost.cpu {
            out.figure(&format!("{process}, processor µs"), seconds * 1e6, "");
        }
        out.figure("all together, processor µs", self.cost.cpu.values().sum::<f64>() * 1e6, "");
        for (stream, messages) in &self.cost.messages {
            out.figure(&format!("{stream}, messages stored"), *messages, "");
        }
        out.figure("all together, messages stored", self.cost.messages.values().sum(), "");
        out.figure("bytes that streams keep", self.cost.kept_bytes, "");
        if let Some(streaming) = &self.streaming {
            out.title("Streaming");
            out.figure("first token, added µs", streaming.first_added_p50_us, "bar 1000");
            out.figure("each piece, added µs", streaming.chunk_added_us, "");
            out.figure("final texts that are not the model's", streaming.texts_wrong as f64, "bar 0");
            out.figure("answers with a piece that no delta carried", streaming.deltas_missed as f64, "");
        }
        out.title("Weight");
        if !self.ready_ms.0.is_empty() {
            out.rounds("all in one: start → ready, ms", &self.ready_ms, "bar 150");
        }
        for (service, megabytes) in &self.idle_mb {
            let after = self.busy_mb.get(service).map_or(String::new(), |after| format!("{after:.1} after the load; "));
            let bar = if service == "clara" { 60 } else { 15 };
            out.figure(&format!("{service}, idle MB"), *megabytes, &format!("{after}bar {bar}"));
        }
        for (count, kilobytes) in &self.in_flight_kb {
            out.figure(&format!("a turn of {count} in flight, KB"), *kilobytes, "bar 32");
        }
        out.0
    }

    /// The last line of `--json`.
    pub fn summary(&self) -> Value {
        let scale: BTreeMap<String, f64> = self.scale.iter().map(|(n, rate, _)| (n.to_string(), *rate)).collect();
        let failures = self.failures + self.scale.iter().map(|(.., failures)| failures).sum::<usize>();
        json!({
            "floor": {
                "hop4_p50_us": self.floor(|floor| floor.hop4_p50_us).median(),
                "hop4_p99_us": self.floor(|floor| floor.hop4_p99_us).median(),
                "turns_per_s_32": self.floor(|floor| floor.chains_per_s_32).median(),
            },
            "clara": {
                "turn_p50_us": self.turn(|turn| turn.p50_us).median(),
                "turn_p99_us": self.turn(|turn| turn.p99_us).median(),
                "turns_per_s": self.best_throughput().median(),
                "failures": failures,
                "ttft_added_p50_us": self.streaming.as_ref().map(|streaming| streaming.first_added_p50_us),
                "chunks_lost": self.streaming.as_ref().map(|streaming| streaming.texts_wrong),
                "ready_ms": self.ready_ms.median(),
                "rss_idle_mb": self.idle_mb,
                "inflight_kb_each_10000": self.in_flight_kb.get(&10_000),
                "scale": scale,
            },
        })
    }
}

#[derive(Default)]
struct Table(String);

impl Table {
    fn title(&mut self, title: &str) {
        self.0.push_str(&format!("\n{title}\n"));
    }

    fn figure(&mut self, name: &str, value: f64, note: &str) {
        self.0.push_str(&format!("  {name:<46} {value:>10.1} {:>22}  {note}\n", ""));
    }

    fn rounds(&mut self, name: &str, rounds: &Rounds, note: &str) {
        let (least, most) = rounds.spread();
        let spread = format!("{least:.1} … {most:.1}");
        self.0.push_str(&format!("  {name:<46} {:>10.1} {spread:>22}  {note}\n", rounds.median()));
    }
}
