//! A run that bubblewrap was started for: it begins when its limits hold and not before,
//! and however this goes away, every process of the run does.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::super::cgroup::Cgroup;

/// How long bubblewrap may take to set everything up.
const SETUP: Duration = Duration::from_secs(10);
/// What is kept of its complaint when it cannot, in bytes.
const COMPLAINT: u64 = 2000;

/// What a shell inside runs: the rest of its arguments, but only once it was told to. When
/// the runner dies during the setup, the end of the pipes lets bubblewrap go on, and no
/// limits hold then.
pub(super) const BEGINS: &str = "read -r go && exec \"$@\"";

/// Our ends of two pipes by which the start is arranged: bubblewrap waits on one, and tells on
/// the other.
pub(super) struct Pipes {
    unblocks: OwnedFd,
    told: OwnedFd,
}

impl Pipes {
    /// With bubblewrap's own ends: on which it waits, and on which it tells. They are its
    /// command's alone: no other program that is started meanwhile has them.
    pub(super) fn make() -> Result<(Self, [OwnedFd; 2]), String> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|err| format!("pipe: {err}"));
        let ((blocks, unblocks), (told, tells)) = (pipe()?, pipe()?);
        Ok((Self { unblocks, told }, [blocks, tells]))
    }
}

/// Bubblewrap, and what runs inside.
pub(super) struct Started {
    child: Child,
    /// Bubblewrap's own process, which leads a group; until it was waited for.
    bubblewrap: Option<Pid>,
    /// The first process inside, with which all others end; a descriptor names it for ever.
    first: Option<OwnedFd>,
    unblocks: Option<OwnedFd>,
    group: Cgroup,
}

impl Started {
    /// Starts bubblewrap and waits until it has set everything up, the limits too. Nothing
    /// inside runs before [`begin`](Self::begin). The error is what it complains of.
    pub(super) async fn start(mut command: Command, pipes: Pipes, group: Cgroup) -> Result<Self, String> {
        command.process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(|err| format!("start bwrap: {err}"))?;
        let bubblewrap = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        // With it go our copies of its ends, so that the pipes end with it.
        drop(command);
        let Pipes { unblocks, told } = pipes;
        let mut started = Self { child, bubblewrap, first: None, unblocks: Some(unblocks), group };
        let first = tokio::task::spawn_blocking(move || first_process(told));
        let Ok(Ok(Ok(first))) = tokio::time::timeout(SETUP, first).await else {
            return Err(started.complaint().await);
        };
        started.first = Some(pidfd_open(first, PidfdFlags::empty()).map_err(|err| format!("pidfd: {err}"))?);
        started.group.take(first)?;
        Ok(started)
    }

    /// Lets it begin, and gives its input, on which the first line must be empty, and its
    /// outputs.
    pub(super) fn begin(&mut self) -> Result<(ChildStdin, ChildStdout, ChildStderr), String> {
        let unblocks = self.unblocks.take().ok_or("it began already")?;
        std::fs::File::from(unblocks).write_all(b"go").map_err(|err| format!("begin: {err}"))?;
        match (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok((stdin, stdout, stderr)),
            _ => Err("it has no pipes".to_owned()),
        }
    }

    /// Waits until it has ended by itself.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        // Its number may be somebody else's from here on.
        self.bubblewrap = None;
        Ok(status)
    }

    /// Ends it, and waits until it has.
    pub(super) async fn end(&mut self) {
        self.kill();
        let _ = self.ended().await;
    }

    /// Bubblewrap's own process is killed with its group, to which the first one inside
    /// belongs until it is set up: only from then on does it die with its parent.
    fn kill(&self) {
        if let Some(bubblewrap) = self.bubblewrap {
            let _ = kill_process_group(bubblewrap, Signal::KILL);
        }
        if let Some(first) = &self.first {
            let _ = pidfd_send_signal(first.as_fd(), Signal::KILL);
        }
    }

    async fn complaint(&mut self) -> String {
        self.kill();
        let mut said = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            let _ = tokio::time::timeout(SETUP, stderr.take(COMPLAINT).read_to_string(&mut said)).await;
        }
        format!("bubblewrap could not set it up: {}", said.trim())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The first process inside, as bubblewrap tells it before it lets it begin.
fn first_process(told: OwnedFd) -> Result<Pid, String> {
    let (mut told, mut text) = (std::fs::File::from(told), String::new());
    let mut bytes = [0; 512];
    // It keeps its end open: what is told ends with a brace.
    while !text.contains('}') {
        match told.read(&mut bytes) {
            Ok(0) | Err(_) => return Err("it told nothing".to_owned()),
            Ok(count) => text.push_str(&String::from_utf8_lossy(&bytes[..count])),
        }
    }
    let told: serde_json::Value = serde_json::from_str(&text).map_err(|err| err.to_string())?;
    let first = told["child-pid"].as_i64().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    first.ok_or_else(|| "it told no process".to_owned())
}
