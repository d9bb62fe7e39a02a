//! Ends groups of processes whose runner was killed: a server that hangs reads no end of its input,
//! and would run on.
//!
//! One process for all of a runner's groups hears of them over its standard input, which only the
//! runner holds; when that ends, the runner has, however that came, and so do they.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};
use tracing::warn;

/// The argument with which this program is a guard.
pub(crate) const ARGUMENT: &str = "guard-groups";

/// The guard of this runner's groups; by default there is none.
#[derive(Default)]
pub(crate) struct Guard {
    /// What is run as a guard.
    program: Option<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The leaders of the groups that are to end with the runner.
    groups: BTreeSet<i32>,
    guard: Option<Child>,
}

impl Guard {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { program: Some(std::env::current_exe()?), known: Mutex::default() })
    }

    /// Has a group end with the runner.
    pub(super) fn add(&self, leader: Pid) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.groups.insert(leader.as_raw_nonzero().get());
        self.tell(&mut known, '+', leader);
    }

    /// A group has ended: its number may be another's from now on.
    pub(super) fn remove(&self, leader: Pid) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.groups.remove(&leader.as_raw_nonzero().get()) {
            self.tell(&mut known, '-', leader);
        }
    }

    fn tell(&self, known: &mut Known, what: char, leader: Pid) {
        let line = format!("{what}{}\n", leader.as_raw_nonzero());
        if let Some(input) = known.guard.as_mut().and_then(|guard| guard.stdin.as_mut())
            && input.write_all(line.as_bytes()).is_ok()
        {
            return;
        }
        // There is none yet, or somebody has ended it.
        if let Err(err) = self.begin(known) {
            warn!(error = %err, "MCP servers that hang would outlive a runner that is killed");
        }
    }

    fn begin(&self, known: &mut Known) -> std::io::Result<()> {
        let Some(program) = &self.program else { return Ok(()) };
        if let Some(mut last) = known.guard.take() {
            // It has ended, or does now that nobody speaks to it.
            drop(last.stdin.take());
            let _ = last.wait();
        }
        let mut command = Command::new(program);
        // What ends the runner's own group is not to end it.
        command.arg(ARGUMENT).env_clear().process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut guard = command.spawn()?;
        if let Some(input) = guard.stdin.as_mut() {
            for group in &known.groups {
                writeln!(input, "+{group}")?;
            }
        }
        known.guard = Some(guard);
        Ok(())
    }
}

/// Guards until standard input ends, as the process does that outlives a runner.
pub(crate) fn guard_groups() -> ExitCode {
    for leader in left(std::io::stdin().lock()) {
        // It may have ended meanwhile.
        let _ = kill_process_group(leader, Signal::KILL);
    }
    ExitCode::SUCCESS
}

/// The groups that were added and not removed when the input ends.
fn left(input: impl BufRead) -> Vec<Pid> {
    let mut groups = BTreeSet::new();
    for line in input.lines().map_while(Result::ok) {
        // 0 and 1 would be this process's own group, and everybody's.
        let leader = |number: &str| number.parse::<i32>().ok().filter(|number| *number > 1);
        if let Some(added) = line.strip_prefix('+').and_then(leader) {
            groups.insert(added);
        } else if let Some(removed) = line.strip_prefix('-').and_then(leader) {
            groups.remove(&removed);
        }
    }
    groups.into_iter().filter_map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_was_added_and_not_removed() {
        let of =
            |text: &str| left(text.as_bytes()).iter().map(|leader| leader.as_raw_nonzero().get()).collect::<Vec<_>>();
        assert_eq!(of("+12\n+34\n-12\n+56\n"), [34, 56]);
        assert_eq!(of("+0\n+1\n+-1\n+x\nnone\n+7"), [7], "nobody else's group");
    }
}
