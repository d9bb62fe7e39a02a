//! Memory of every service, idle, busy and full; the time until it is ready.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::process::Stdio;
use std::time::{Duration, Instant};

use testkit::nats::Nats;
use testkit::process::command;
use testkit::sandbox::{SERVICES, Sandbox};

use super::turns::{people, plan};

/// Longest time that turns may take to be all in flight.
const FILLED: Duration = Duration::from_secs(240);

/// Resident memory of a process, in bytes (`VmRSS` of proc(5)).
pub fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Resident memory of each service, in megabytes.
pub fn of_services(sandbox: &mut Sandbox) -> BTreeMap<String, f64> {
    let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    SERVICES.iter().map(|name| ((*name).to_owned(), megabytes(resident(sandbox.service(name, 0).id())))).collect()
}

/// All services in one process: megabytes when idle, and milliseconds from its
/// start to the line that says it is ready; on a bus that it has used before.
pub fn all_in_one(server: &str, rounds: usize) -> (f64, Vec<f64>) {
    let nats = Nats::start_with(server);
    let folder = tempfile::tempdir().unwrap();
    let (mut memory, mut ready) = (0.0, Vec::new());
    for round in 0..=rounds {
        let begun = Instant::now();
        let mut child = command("clara", folder.path())
            .args(["up", "--json"])
            .env("NATS_URL", nats.url())
            .env("CLARA_DATA_DIR", folder.path().join("data"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let took = begun.elapsed();
        // The first start makes the streams and the databases.
        if round > 0 {
            ready.push(took.as_secs_f64() * 1000.0);
            std::thread::sleep(Duration::from_millis(500));
            memory = resident(child.id()) as f64 / f64::from(1 << 20);
        }
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap();
    }
    (memory, ready)
}

/// Kilobytes of the orchestrator for each of `count` turns in flight. The model
/// takes a minute, because a shorter one cannot hold so many at once.
pub async fn in_flight(server: &str, count: usize) -> anyhow::Result<f64> {
    let plan = plan(server).set("CLARA_OFFLINE_WORD_MS", 10_000).set("CLARA_MAX_TURNS", 20_000);
    let mut sandbox = plan.start().await;
    let people = people(&sandbox).await;
    super::turns::turn(&people.person(count), "say x").await;
    let before = resident(sandbox.service("orchestrator", 0).id());
    let mut saying = futures::stream::FuturesUnordered::new();
    for number in 0..count {
        let person = people.person(number);
        saying.push(tokio::spawn(async move { person.tells(&format!("m{number}"), TEXT.to_owned()).await.is_some() }));
        // So many are offered at the same time.
        if saying.len() >= 64 {
            futures::StreamExt::next(&mut saying).await;
        }
    }
    let context = async_nats::jetstream::new(async_nats::connect(sandbox.nats.url()).await?);
    let stream = context.get_stream("CLARA_TURNS").await?;
    let deadline = Instant::now() + FILLED;
    let mut most = 0;
    loop {
        let found = stream.consumer_info("orchestrator").await?;
        most = most.max(found.num_ack_pending);
        if most >= count || Instant::now() > deadline {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::ensure!(most >= count, "only {most} of {count} turns were in flight at once");
    let after = resident(sandbox.service("orchestrator", 0).id());
    Ok(after.saturating_sub(before) as f64 / 1024.0 / count as f64)
}

/// Said over more than two minutes.
const TEXT: &str = "say one two three four five six seven eight nine ten eleven twelve thirteen fourteen";
