//! How long a stop takes to end every process of a run, and what ending a bare group takes.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bus::{Bus, Subject};
use domain::ids::{MessageId, TurnId};
use domain::tool::{ToolClass, ToolRequest};
use proto::live::StopTurn;
use rustix::process::{Pid, Signal, kill_process_group};

use super::micros;

/// How long a run may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked at.
const LOOK: Duration = Duration::from_micros(500);

/// From telling the stop to when no process of the run is there, in microseconds. `request` runs
/// `command(number)`.
pub async fn by_clara(bus: &Bus, number: u32, request: ToolRequest) -> f64 {
    let turn: TurnId = request.call.turn;
    bus.store(Subject::Tool(ToolClass::Sandbox), &request.call.to_string(), &request).await.unwrap();
    let processes = begun(number).await;
    let begun = Instant::now();
    bus.tell_control(turn, &StopTurn { stop: MessageId::parse("cli:stop").unwrap() }).await;
    ended(&processes).await;
    micros(begun.elapsed())
}

/// The same of a shell's group that is killed by its number.
pub async fn bare(number: u32) -> f64 {
    let mut shell = Command::new("sh");
    shell.args(["-c", &command(number)]).process_group(0).stdin(Stdio::null());
    let mut shell = shell.spawn().unwrap();
    let processes = begun(number).await;
    let begun = Instant::now();
    kill_process_group(Pid::from_child(&shell), Signal::KILL).unwrap();
    shell.wait().unwrap();
    ended(&processes).await;
    micros(begun.elapsed())
}

/// What a run does: two processes that would go on for long, known by their number.
pub fn command(number: u32) -> String {
    format!("sleep {number} & sleep {number}")
}

/// Its processes, once both are there.
async fn begun(number: u32) -> Vec<String> {
    let (word, begun) = (number.to_string(), Instant::now());
    loop {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let ids = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let is_one = |id: &String| line(id).is_some_and(|line| line == format!("sleep\0{word}\0"));
        let found: Vec<String> = ids.filter(|id| id.starts_with(|c: char| c.is_ascii_digit())).filter(is_one).collect();
        if found.len() == 2 {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "the run {word} did not begin");
        tokio::time::sleep(LOOK).await;
    }
}

async fn ended(processes: &[String]) {
    let begun = Instant::now();
    while processes.iter().any(|id| line(id).is_some()) {
        assert!(begun.elapsed() < PATIENCE, "{processes:?} did not end");
        tokio::time::sleep(LOOK).await;
    }
}

/// The command line of a process; of one that has ended there is none.
fn line(id: &str) -> Option<String> {
    let line = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
    (!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned())
}
