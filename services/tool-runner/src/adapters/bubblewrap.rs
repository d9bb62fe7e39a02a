//! The sandbox by bubblewrap: namespaces of its own for everything, none of the machine
//! but its programs, a filter on system calls, and limits by control groups.
//!
//! How a run is started and ended is in [`started`].

mod started;

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use command_fds::{CommandFdExt, FdMapping};
use rustix::fs::{MemfdFlags, memfd_create};
use service_kit::task::{self, TaskKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use self::started::{BEGINS, Pipes, Started};
use super::cgroup::Cgroups;
use super::egress::{self, Egress};
use super::seccomp;
use crate::sandbox::{End, INSIDE, Keeps, Limits, Printed, Run, Sandbox, TMP, VARIABLES};
use crate::web::Web;

/// Folders of the machine that programs need, read-only; those that are not there are left out.
const SEEN: &[&str] = &["/usr", "/etc/alternatives", "/etc/ssl/certs", "/etc/ld.so.cache", "/etc/mime.types"];
/// Links that stand in for folders of old.
const LINKS: &[(&str, &str)] =
    &[("usr/bin", "/bin"), ("usr/sbin", "/sbin"), ("usr/lib", "/lib"), ("usr/lib64", "/lib64")];
/// Folders in which the programs are that it needs.
const PROGRAMS: &[&str] = &["/usr/bin", "/usr/local/bin", "/bin"];
/// How long what was printed may take to be read once nobody prints.
const READING: Duration = Duration::from_secs(10);

pub(crate) struct Bubblewrap {
    program: PathBuf,
    cgroups: Cgroups,
    filters: Vec<Vec<u8>>,
    limits: Limits,
    /// What a way out leads through.
    web: Web,
    runs: AtomicU64,
}

/// How old a way out is that no run has any more.
const LEFT: Duration = Duration::from_secs(24 * 60 * 60);

impl Bubblewrap {
    /// Finds out whether it holds here, by trying; the error says why it does not.
    pub(crate) async fn probe(limits: Limits, web: Web) -> Result<Self, String> {
        let program = find("bwrap").ok_or("the program bwrap is not installed (Debian: bubblewrap)")?;
        egress::remove_older_than(&std::env::temp_dir(), LEFT);
        Self::tried(program, limits, web).await
    }

    /// One that holds: it is tried before anything is run by it.
    async fn tried(program: PathBuf, limits: Limits, web: Web) -> Result<Self, String> {
        find("prlimit").ok_or("the program prlimit is not installed (Debian: util-linux)")?;
        let cgroups = Cgroups::probe().map_err(|why| format!("no control groups can be made here: {why}"))?;
        let filters = seccomp::filters().map_err(|why| format!("no filter of system calls: {why}"))?;
        let bubblewrap = Self { program, cgroups, filters, limits, web, runs: AtomicU64::new(0) };
        let folder = std::env::temp_dir().join(format!("clara-sandbox-probe-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|err| format!("{}: {err}", folder.display()))?;
        // Outside it must be readable, inside not; and no namespace can be made.
        let script = "test -e /etc/passwd && echo sees; unshare -U true 2>/dev/null && echo nests; echo holds";
        let run = Run {
            command: vec!["/bin/sh".into(), "-c".into(), script.into()],
            input: String::new(),
            folder: folder.clone(),
            time: limits.time,
            hosts: Arc::default(),
        };
        let printed = Arc::new(Printed::new(Keeps::First, limits.output_bytes));
        let tried = bubblewrap.run(&run, &printed).await;
        let _ = std::fs::remove_dir_all(&folder);
        match (tried?, printed.text().0) {
            (End::Exited(0), text) if text.trim() == "holds" => Ok(bubblewrap),
            (end, text) => Err(format!("it was tried, and did not hold: {end:?}, {text}")),
        }
    }

    /// The command, with the pipes by which it is arranged.
    fn command(&self, run: &Run, egress: Option<&Egress>) -> Result<(Command, Pipes), String> {
        let mut command = Command::new(&self.program);
        // What bubblewrap's own process has in its environment can be read inside.
        command.env_clear();
        command.args(["--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox"]);
        command.args(["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]);
        for (name, value) in [("PATH", "/usr/local/bin:/usr/bin:/bin")].iter().chain(VARIABLES) {
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
        if let Some(egress) = egress {
            command.arg("--bind").arg(&egress.socket).arg(egress::INSIDE);
            for name in egress::VARIABLES {
                command.args(["--setenv", name, egress::PROXY]);
            }
        }
        let (pipes, ends) = Pipes::make()?;
        let mut given = Vec::new();
        let filters = self.filters.iter().map(|filter| Ok(("--add-seccomp-fd", in_memory(filter)?)));
        let filters = filters.collect::<Result<Vec<_>, String>>()?;
        for ((option, descriptor), number) in ["--block-fd", "--info-fd"].into_iter().zip(ends).chain(filters).zip(3..)
        {
            command.args([option, &number.to_string()]);
            given.push(FdMapping { parent_fd: descriptor, child_fd: number });
        }
        command.fd_mappings(given).map_err(|err| err.to_string())?;
        let Limits { processes, file_bytes, .. } = self.limits;
        command.args(["--", "/bin/sh", "-c", BEGINS, "sh", "/usr/bin/prlimit", "--core=0"]);
        command.args([format!("--nproc={processes}"), format!("--fsize={file_bytes}"), "--".to_owned()]);
        if egress.is_some() {
            command.args(egress::BRIDGE);
        }
        command.args(&run.command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok((command, pipes))
    }
}

#[async_trait]
impl Sandbox for Bubblewrap {
    fn name(&self) -> &'static str {
        "bubblewrap"
    }

    async fn run(&self, run: &Run, printed: &Arc<Printed>) -> Result<End, String> {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let group = self.cgroups.make(&number.to_string(), &self.limits)?;
        let egress = Egress::of(run, &std::env::temp_dir(), &self.web, printed)?;
        let (command, pipes) = self.command(run, egress.as_ref())?;
        let mut started = Started::start(command, pipes, group).await?;
        let (stdin, stdout, stderr) = started.begin()?;
        let input = run.input.clone().into_bytes();
        task::spawn(TaskKind::Watch, "sandbox-input", write(stdin, input));
        let reads = |output| AbortOnDropHandle::new(task::spawn(TaskKind::Watch, "sandbox-output", output));
        let out = reads(Box::pin(hear(stdout, Arc::clone(printed))) as Hearing);
        let err = reads(Box::pin(hear(stderr, Arc::clone(printed))) as Hearing);
        let end = match tokio::time::timeout(run.time, started.ended()).await {
            Ok(Ok(status)) => match (status.code(), status.signal()) {
                // A shell's way of telling that a program ended by a signal.
                (Some(code @ 129..=192), _) => End::Killed(code - 128),
                (Some(code), _) => End::Exited(code),
                (None, signal) => End::Killed(signal.unwrap_or(0)),
            },
            Ok(Err(err)) => {
                warn!(error = %err, "failed to hear how a run in the sandbox ended");
                started.end().await;
                End::Lost
            }
            Err(_) => {
                started.end().await;
                End::TimedOut
            }
        };
        // Who could write has ended: what was written is there.
        let _ = tokio::time::timeout(READING, async { (out.await, err.await) }).await;
        Ok(end)
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

/// Writes what lets it begin, and then what it reads, which it need not.
async fn write(mut stdin: ChildStdin, input: Vec<u8>) {
    if stdin.write_all(b"\n").await.is_ok() {
        let _ = stdin.write_all(&input).await;
    }
}

type Hearing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes what is printed, as far as it is kept; the rest is dropped, so that nobody waits.
async fn hear(mut output: impl tokio::io::AsyncRead + Unpin, printed: Arc<Printed>) {
    let mut bytes = [0; 8192];
    while let Ok(count @ 1..) = output.read(&mut bytes).await {
        printed.push(&bytes[..count]);
    }
}

fn find(program: &str) -> Option<PathBuf> {
    PROGRAMS.iter().map(|folder| Path::new(folder).join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        time: Duration::from_secs(600),
        memory_bytes: 64 << 20,
        processes: 16,
        cpu_percent: 100,
        file_bytes: 1 << 20,
        output_bytes: 1000,
        folder_bytes: 1 << 20,
    };

    /// A process has one such sandbox, and its groups are named after the process.
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    /// Processes of this machine that have this among their arguments.
    fn running(marker: &str) -> Vec<String> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.filter(|line| line.split(' ').any(|argument| argument == marker)).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_run_that_nobody_waits_for_ends_at_whatever_moment() {
        let (folder, _alone) = (tempfile::tempdir().unwrap(), ALONE.lock().await);
        let bubblewrap = Bubblewrap::probe(LIMITS, Web::new(Vec::new()).unwrap()).await.unwrap();
        let printed = Arc::new(Printed::new(Keeps::First, 1000));
        for half_milliseconds in 0..60 {
            let marker = format!("8151{half_milliseconds:04}");
            let run = Run {
                command: vec!["/bin/sleep".into(), marker.clone()],
                input: String::new(),
                folder: folder.path().to_owned(),
                time: LIMITS.time,
                hosts: Arc::default(),
            };
            let patience = Duration::from_micros(500 * half_milliseconds);
            let ended = tokio::time::timeout(patience, bubblewrap.run(&run, &printed)).await;
            assert!(ended.is_err(), "it sleeps: {ended:?}");
            assert!(comes(|| running(&marker).is_empty()).await, "after {patience:?}: {:?}", running(&marker));
        }
        let are_gone = || bubblewrap.cgroups.make("last", &LIMITS).is_ok_and(|group| group.is_alone());
        assert!(comes(are_gone).await, "groups are left");
    }

    /// Attack S20: something that is called as bubblewrap is, runs what it is told, and holds nothing.
    #[tokio::test(flavor = "multi_thread")]
    async fn one_that_does_not_hold_is_not_used() {
        let (folder, _alone) = (tempfile::tempdir().unwrap(), ALONE.lock().await);
        let open = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/open-bwrap.py");
        let program = folder.path().join("bwrap");
        std::fs::copy(open, &program).unwrap();
        let tried = Bubblewrap::tried(program, LIMITS, Web::new(Vec::new()).unwrap()).await;
        let why = tried.err().unwrap();
        assert!(why.contains("did not hold") && why.contains("sees"), "{why}");
        assert!(folder.path().join("was-asked").exists());
    }

    async fn comes(is_so: impl Fn() -> bool) -> bool {
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while !is_so() && std::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        is_so()
    }
}
