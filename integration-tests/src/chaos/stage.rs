//! A Clara of processes with ledgers around her, and people who talk to her.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use service_kit::crash::{CRASH_AT, CrashPoint};
use testkit::sandbox::{Plan, Sandbox};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::check::{self, Ledgers, Streams};
use super::ledgers::{Kind, ToolServer, Vendor};
use super::people::{People, now_ms};
use super::report::Row;

/// How long a process may live that was told to die at a point it passes.
const DEATH: Duration = Duration::from_secs(120);
/// How long people wait for one reply before they say something else.
const REPLY: Duration = Duration::from_secs(120);
/// How long all that was accepted may take after the heal, a little more than
/// the bar, so that what is late is told from what is lost.
const SETTLED: Duration = Duration::from_secs(90);

/// What people say while nothing special is tried.
pub const TALK: &[Kind] = &[Kind::Say, Kind::Look, Kind::Charge, Kind::Say, Kind::Slow];

pub struct Stage {
    pub vendor: Vendor,
    pub tools: ToolServer,
    pub people: People,
    sandbox: Mutex<Sandbox>,
    url: String,
    rng: std::sync::Mutex<fastrand::Rng>,
    kills: AtomicUsize,
    healed_ms: AtomicI64,
    violations: std::sync::Mutex<Vec<String>>,
}

/// People who talk until they are told to stop.
pub struct Load {
    stop: CancellationToken,
    talking: JoinSet<()>,
}

impl Stage {
    pub async fn start(plan: Plan, seed: u64) -> Self {
        let (vendor, tools) = (Vendor::start().await, ToolServer::start().await);
        let plan = plan.with(vendor.model.as_openai()).set("CLARA_LEDGER", tools.address);
        let sandbox = plan.start().await;
        let url = sandbox.nats.url();
        let people = People::gather(sandbox.bus().await, &url).await;
        Self {
            vendor,
            tools,
            people,
            sandbox: Mutex::new(sandbox),
            url,
            rng: std::sync::Mutex::new(fastrand::Rng::with_seed(seed)),
            kills: AtomicUsize::new(0),
            healed_ms: AtomicI64::new(0),
            violations: std::sync::Mutex::default(),
        }
    }

    pub async fn sandbox(&self) -> MutexGuard<'_, Sandbox> {
        self.sandbox.lock().await
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// A number from the seed, below `limit`.
    pub fn draw(&self, limit: usize) -> usize {
        self.rng.lock().unwrap().usize(0..limit)
    }

    /// Notes what must not be.
    pub fn violation(&self, what: impl Into<String>) {
        self.violations.lock().unwrap().push(what.into());
    }

    /// From now on nothing is broken.
    pub fn heal(&self) {
        self.healed_ms.store(now_ms(), Ordering::SeqCst);
    }

    /// Lets people talk, in bursts of one to three messages, each waiting for
    /// the replies before it goes on.
    pub fn load(&self, people: std::ops::Range<usize>, talk: &'static [Kind]) -> Load {
        let stop = CancellationToken::new();
        let mut talking = JoinSet::new();
        for number in people {
            let person = self.people.person(number);
            let mut rng = self.rng.lock().unwrap().fork();
            let stop = stop.clone();
            talking.spawn(async move {
                while !stop.is_cancelled() {
                    let mut said = Vec::new();
                    for _ in 0..rng.usize(1..=3) {
                        let kind = *rng.choice(talk).unwrap();
                        said.extend(person.says(kind).await);
                    }
                    for message in said {
                        // What is open when they stop, the count waits for.
                        tokio::select! {
                            _ = person.people.answered(&message.id, REPLY) => {}
                            () = stop.cancelled() => return,
                        }
                    }
                    // A pause, so that a load is not a flood; stopping ends it.
                    let pause = Duration::from_millis(rng.u64(20..200));
                    let _ = tokio::time::timeout(pause, stop.cancelled()).await;
                }
            });
        }
        Load { stop, talking }
    }

    /// Kills replica 0 of a service at each of these points, one after the other.
    pub async fn kill_at_each(&self, service: &str, points: &[CrashPoint]) {
        self.sandbox().await.kill(service, 0);
        self.kills.fetch_add(1, Ordering::SeqCst);
        for point in points {
            let at = format!("{}:{}", point.number(), 1 + self.draw(3));
            self.sandbox().await.start_service_with(service, 0, &[(CRASH_AT, at)]);
            let deadline = Instant::now() + DEATH;
            while self.sandbox().await.service(service, 0).is_running() {
                if Instant::now() > deadline {
                    let why = "it never passed it, or was built without crash points";
                    self.violation(format!("{service} did not die at {}: {why}", point.number()));
                    self.sandbox().await.kill(service, 0);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            self.kills.fetch_add(1, Ordering::SeqCst);
        }
        self.sandbox().await.start_service(service, 0);
    }

    /// Stops one replica by SIGTERM and starts it again when it has ended.
    pub async fn restart(&self, service: &str, replica: usize) {
        self.sandbox().await.terminate(service, replica);
        let deadline = Instant::now() + DEATH;
        while self.sandbox().await.service(service, replica).is_running() {
            if Instant::now() > deadline {
                self.violation(format!("{service} did not end when told to"));
                self.sandbox().await.kill(service, replica);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.sandbox().await.start_service(service, replica);
    }

    pub async fn signal(&self, service: &str, replica: usize, signal: Signal) {
        self.sandbox().await.service(service, replica).signal(signal);
    }

    /// Waits for what was accepted, asks everybody once more, and counts.
    pub async fn settle(self, scenario: &str, load: Option<Load>) -> Row {
        if self.healed_ms.load(Ordering::SeqCst) == 0 {
            self.heal();
        }
        let mut voices: Vec<_> = self.people.accepted();
        voices.sort_by(|a, b| a.conversation.cmp(&b.conversation));
        voices.dedup_by(|a, b| a.conversation == b.conversation);
        if let Some(load) = load {
            load.finish().await;
        }
        // I8: every conversation answers again.
        let people = (0..voices.len().min(64)).map(|number| self.people.person(number));
        futures::future::join_all(people.map(|person| async move { person.says(Kind::Say).await })).await;
        let open = self.people.all_answered(SETTLED).await;
        if open > 0 {
            self.violation(format!("{open} messages were not answered {SETTLED:?} after the heal"));
        }
        self.quiet().await;
        let streams = Streams::read(&self.url).await.unwrap();
        let accepted = self.people.accepted();
        let ledgers = Ledgers {
            accepted: &accepted,
            vendor: &self.vendor,
            tools: &self.tools,
            kills: self.kills.load(Ordering::SeqCst),
            healed_ms: self.healed_ms.load(Ordering::SeqCst),
        };
        let mut row = check::check(scenario, &streams, &ledgers);
        row.violations.extend(self.violations.lock().unwrap().drain(..));
        for (log, text) in self.sandbox().await.logs() {
            if text.contains("panicked at") {
                row.violations.push(format!("a panic in {log}"));
            }
        }
        row
    }

    /// Waits until no work is queued: what would be said twice has been said.
    async fn quiet(&self) {
        let context = async_nats::jetstream::new(async_nats::connect(&self.url).await.unwrap());
        let deadline = Instant::now() + SETTLED;
        for name in ["CLARA_TURNS", "CLARA_OUTBOUND"] {
            loop {
                let left = context.get_stream(name).await.unwrap().cached_info().state.messages;
                if left == 0 {
                    break;
                }
                if Instant::now() > deadline {
                    self.violation(format!("{left} messages stay in {name}"));
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

impl Load {
    /// Nobody says anything more.
    pub async fn finish(mut self) {
        self.stop.cancel();
        while self.talking.join_next().await.is_some() {}
    }
}
