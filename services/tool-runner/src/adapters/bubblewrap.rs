//! The sandbox by bubblewrap: namespaces of its own for everything, none of the machine
//! but its programs, a filter on system calls, and limits by control groups.
//!
//! The program waits until the limits hold. Whatever ends the run ends every process of
//! it, since they share a namespace whose first process is bubblewrap's.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use service_kit::task::{self, TaskKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::cgroup::{Cgroup, Cgroups};
use super::seccomp;
use crate::sandbox::{End, INSIDE, Limits, Output, Run, Sandbox};

/// Folders of the machine that programs need, read-only; those that are not there are left out.
const SEEN: &[&str] = &["/usr", "/etc/alternatives", "/etc/ssl/certs", "/etc/ld.so.cache", "/etc/mime.types"];
/// Links that stand in for folders of old.
const LINKS: &[(&str, &str)] =
    &[("usr/bin", "/bin"), ("usr/sbin", "/sbin"), ("usr/lib", "/lib"), ("usr/lib64", "/lib64")];
/// Folders in which the programs are that it needs.
const PROGRAMS: &[&str] = &["/usr/bin", "/usr/local/bin", "/bin"];
/// What a run may write to /tmp, in bytes.
const TMP: u64 = 64 * 1024 * 1024;
/// How long bubblewrap may take to set everything up.
const SETUP: Duration = Duration::from_secs(10);

pub(crate) struct Bubblewrap {
    program: PathBuf,
    cgroups: Cgroups,
    filters: Vec<Vec<u8>>,
    limits: Limits,
    runs: AtomicU64,
}

impl Bubblewrap {
    /// Finds out whether it holds here, by trying; the error says why it does not.
    pub(crate) async fn probe(limits: Limits) -> Result<Self, String> {
        let program = find("bwrap").ok_or("the program bwrap is not installed (Debian: bubblewrap)")?;
        find("prlimit").ok_or("the program prlimit is not installed (Debian: util-linux)")?;
        let cgroups = Cgroups::probe().map_err(|why| format!("no control groups can be made here: {why}"))?;
        let filters = seccomp::filters().map_err(|why| format!("no filter of system calls: {why}"))?;
        let bubblewrap = Self { program, cgroups, filters, limits, runs: AtomicU64::new(0) };
        let folder = std::env::temp_dir().join(format!("clara-sandbox-probe-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|err| format!("{}: {err}", folder.display()))?;
        // Outside it must be readable, inside not; and no namespace can be made.
        let script = "test -e /etc/passwd && echo sees; unshare -U true 2>/dev/null && echo nests; echo holds";
        let run = Run {
            command: vec!["/bin/sh".into(), "-c".into(), script.into()],
            input: String::new(),
            folder: folder.clone(),
        };
        let tried = bubblewrap.run(&run).await;
        let _ = std::fs::remove_dir_all(&folder);
        match tried? {
            Output { text, end: End::Exited(0), .. } if text.trim() == "holds" => Ok(bubblewrap),
            other => Err(format!("it was tried, and did not hold: {other:?}")),
        }
    }

    fn command(&self, run: &Run, block: &OwnedFd, info: &OwnedFd, filters: &[OwnedFd]) -> Command {
        let mut command = Command::new(&self.program);
        // What bubblewrap's own process has in its environment can be read inside.
        command.env_clear();
        command.args(["--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox"]);
        command.args(["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]);
        for (name, value) in
            [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", INSIDE), ("LANG", "C.UTF-8"), ("TMPDIR", "/tmp")]
        {
            command.args(["--setenv", name, value]);
        }
        for folder in SEEN {
            command.args(["--ro-bind-try", folder, folder]);
        }
        for (target, link) in LINKS {
            command.args(["--symlink", target, link]);
        }
        command.args(["--proc", "/proc", "--dev", "/dev", "--size", &TMP.to_string(), "--tmpfs", "/tmp"]);
        command.arg("--bind").arg(&run.folder).args([INSIDE, "--chdir", INSIDE]);
        for filter in filters {
            command.args(["--add-seccomp-fd", &filter.as_raw_fd().to_string()]);
        }
        command.args(["--block-fd", &block.as_raw_fd().to_string(), "--info-fd", &info.as_raw_fd().to_string()]);
        let Limits { processes, file_bytes, .. } = self.limits;
        command.args(["--", "/usr/bin/prlimit", "--core=0"]);
        command.args([format!("--nproc={processes}"), format!("--fsize={file_bytes}"), "--".to_owned()]);
        command.args(&run.command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command
    }

    /// Starts the run, and lets it begin when its limits hold.
    async fn start(&self, run: &Run) -> Result<(Child, Cgroup), String> {
        let failed = |what: &str, err: &dyn std::fmt::Display| format!("{what}: {err}");
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|err| failed("pipe", &err));
        let ((blocks, unblock), (told, tells)) = (pipe()?, pipe()?);
        let filters = self.filters.iter().map(|filter| in_memory(filter)).collect::<Result<Vec<_>, _>>()?;
        for inherited in filters.iter().chain([&blocks, &tells]) {
            fcntl_setfd(inherited, FdFlags::empty()).map_err(|err| failed("fcntl", &err))?;
        }
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let group = self.cgroups.make(&number.to_string(), &self.limits)?;
        let child = self.command(run, &blocks, &tells, &filters).spawn().map_err(|err| failed("start bwrap", &err))?;
        drop((blocks, tells, filters));
        let first = tokio::task::spawn_blocking(move || first_process(told));
        let first = tokio::time::timeout(SETUP, first).await;
        let first = match first {
            Ok(Ok(Ok(first))) => first,
            // What bubblewrap says of it stands in its output.
            _ => return Err(self.complaint(child).await),
        };
        group.take(first)?;
        std::fs::File::from(unblock).write_all(b"go").map_err(|err| failed("begin", &err))?;
        Ok((child, group))
    }

    async fn complaint(&self, mut child: Child) -> String {
        let _ = child.start_kill();
        let mut said = String::new();
        if let Some(stderr) = child.stderr.take() {
            let read = tokio::time::timeout(SETUP, async move {
                let mut text = String::new();
                let _ = stderr.take(2000).read_to_string(&mut text).await;
                text
            });
            said = read.await.unwrap_or_default();
        }
        format!("bubblewrap could not set it up: {}", said.trim())
    }
}

#[async_trait]
impl Sandbox for Bubblewrap {
    fn name(&self) -> &'static str {
        "bubblewrap"
    }

    async fn run(&self, run: &Run) -> Result<Output, String> {
        let (mut child, _group) = self.start(run).await?;
        if let Some(mut stdin) = child.stdin.take() {
            let input = run.input.clone().into_bytes();
            task::spawn(TaskKind::Watch, "sandbox-input", async move {
                // A program need not read it.
                let _ = stdin.write_all(&input).await;
            });
        }
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err("it has no outputs".to_owned());
        };
        let limit = self.limits.output_bytes;
        let reads = |output| AbortOnDropHandle::new(task::spawn(TaskKind::Watch, "sandbox-output", output));
        let (out, err) =
            (reads(Box::pin(kept(stdout, limit)) as Reading), reads(Box::pin(kept(stderr, limit)) as Reading));
        let end = match tokio::time::timeout(self.limits.time, child.wait()).await {
            Ok(status) => {
                let status = status.map_err(|err| err.to_string())?;
                match (status.code(), status.signal()) {
                    // A shell's way of telling that a program ended by a signal.
                    (Some(code @ 129..=192), _) => End::Killed(code - 128),
                    (Some(code), _) => End::Exited(code),
                    (None, signal) => End::Killed(signal.unwrap_or(0)),
                }
            }
            Err(_) => {
                // Every process of it goes with the first one.
                if let Err(err) = child.kill().await {
                    warn!(error = %err, "failed to end a run in the sandbox");
                }
                End::TimedOut
            }
        };
        // Who could write has ended: what was written is there.
        let read = tokio::time::timeout(SETUP, async { (out.await, err.await) }).await;
        let (out, err) = match read {
            Ok((out, err)) => (out.unwrap_or_default(), err.unwrap_or_default()),
            Err(_) => Default::default(),
        };
        Ok(Output { text: format!("{}{}", out.0, err.0), is_cut: out.1 || err.1, end })
    }
}

/// Bytes that a program can be given to read.
fn in_memory(bytes: &[u8]) -> Result<OwnedFd, String> {
    let failed = |err: &dyn std::fmt::Display| format!("memfd: {err}");
    let mut file = std::fs::File::from(memfd_create("filter", MemfdFlags::CLOEXEC).map_err(|err| failed(&err))?);
    file.write_all(bytes).map_err(|err| failed(&err))?;
    std::io::Seek::rewind(&mut file).map_err(|err| failed(&err))?;
    Ok(file.into())
}

/// The first process inside, as bubblewrap tells it before it lets it begin.
fn first_process(told: OwnedFd) -> Result<u32, String> {
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
    let first = told["child-pid"].as_u64().and_then(|id| u32::try_from(id).ok());
    first.ok_or_else(|| "it told no process".to_owned())
}

/// What is read of an output, and whether it was cut.
type Reading = Pin<Box<dyn Future<Output = (String, bool)> + Send>>;

/// What comes, as far as it is kept; the rest is read and dropped, so that nobody waits.
async fn kept(mut output: impl tokio::io::AsyncRead + Unpin, limit: usize) -> (String, bool) {
    let (mut kept, mut is_cut, mut bytes) = (Vec::new(), false, [0; 8192]);
    while let Ok(count @ 1..) = output.read(&mut bytes).await {
        let room = limit.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..count.min(room)]);
        is_cut |= count > room;
    }
    (String::from_utf8_lossy(&kept).into_owned(), is_cut)
}

fn find(program: &str) -> Option<PathBuf> {
    PROGRAMS.iter().map(|folder| Path::new(folder).join(program)).find(|file| file.is_file())
}
