//! Processes that speak over their pipes: each gets no more of the runner's environment than
//! it needs to be found and to find its own cache, leads a group of its own, and all of the
//! group ends with it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::secret::KnownSecrets;
use domain::untrusted::visible;
use service_kit::task::{self, TaskKind};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tracing::debug;

use super::guard::Guard;

/// Variables that a process needs to be found, and to find its own cache.
const PASSED: &[&str] = &["PATH", "HOME", "LANG", "TMPDIR", "USER"];
/// What is kept of what a process says of itself, in bytes.
const SAID: usize = 2000;

/// A process that was started.
pub(super) struct Process {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    /// The end of what it says of itself, without what it was given in its environment.
    pub(super) said: Arc<Mutex<String>>,
    pub(super) group: Group,
}

impl Process {
    /// Starts a program with its arguments in a folder, which is made if there is none.
    /// `${NAME}` in a value of `env` is the runner's own variable of that name.
    pub(super) fn start(
        guard: &Arc<Guard>,
        folder: &Path,
        command: &[String],
        env: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let Some((program, arguments)) = command.split_first() else { return Err("it has no program".into()) };
        std::fs::create_dir_all(folder).map_err(|err| format!("{}: {err}", folder.display()))?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir(folder);
        command.envs(PASSED.iter().filter_map(|name| Some((*name, variable(name)?))));
        let mut given = Vec::with_capacity(env.len());
        for (name, value) in env {
            let value = expand(value)?;
            command.env(name, &value);
            given.push(value);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|err| match err.kind() {
            // What is named by its path is where it is, or nowhere; its folder may be what is missing.
            ErrorKind::NotFound if !program.contains('/') => {
                format!("`{program}` is not there{}", comes_with(program))
            }
            _ => format!("{program}: {err}"),
        })?;
        let said = Arc::new(Mutex::new(String::new()));
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let group = Group::of(child, Arc::clone(guard));
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err("it has no pipes".into());
        };
        task::spawn(TaskKind::Watch, "hear-mcp-server", hear(stderr, KnownSecrets::new(given), Arc::clone(&said)));
        Ok(Self { stdin, stdout, said, group })
    }
}

/// A process with all that it started. However this goes away, they do.
pub(super) struct Group {
    child: Child,
    /// The process that leads it; kept, since the group may outlive it.
    leader: Option<rustix::process::Pid>,
    guard: Arc<Guard>,
}

impl Group {
    pub(super) fn of(child: Child, guard: Arc<Guard>) -> Self {
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(leader) = leader {
            guard.add(leader);
        }
        Self { child, leader, guard }
    }

    /// Tells the group to end, and ends what does not after a while.
    pub(super) async fn end(mut self, patience: Duration) {
        self.signal(rustix::process::Signal::TERM);
        let ended = tokio::time::timeout(patience, self.child.wait()).await;
        debug!(in_time = ended.is_ok(), "an MCP server ended");
        // Also when its leader has ended: others of it may be left.
        self.kill();
        let _ = self.child.wait().await;
    }

    fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        if let Some(leader) = self.leader.take() {
            self.guard.remove(leader);
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(leader) = self.leader {
            // The group may have ended.
            let _ = rustix::process::kill_process_group(leader, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Keeps the end of what a process says of itself.
async fn hear(mut stderr: impl tokio::io::AsyncRead + Unpin, given: KnownSecrets, said: Arc<Mutex<String>>) {
    let (mut bytes, mut redactor) = ([0; 4096], given.redactor());
    while let Ok(count) = stderr.read(&mut bytes).await {
        let plain = match count {
            0 => redactor.finish(),
            _ => redactor.push(&visible(&String::from_utf8_lossy(&bytes[..count]))),
        };
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_str(&plain);
        let from = said.ceil_char_boundary(said.len().saturating_sub(SAID));
        said.drain(..from);
        if count == 0 {
            return;
        }
    }
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "what a process of somebody else is given of ours is named there")]
    std::env::var(name).ok()
}

/// A value with the runner's own variables in place of `${NAME}`.
pub(super) fn expand(value: &str) -> Result<String, String> {
    let (mut expanded, mut rest) = (String::new(), value);
    while let Some((before, after)) = rest.split_once("${") {
        let (name, left) = after.split_once('}').ok_or("a ${ has no }")?;
        expanded.push_str(before);
        expanded.push_str(&variable(name).ok_or_else(|| format!("the runner has no variable {name}"))?);
        rest = left;
    }
    Ok(expanded + rest)
}

/// Where people get a program that servers are often run by, as the end of a sentence.
fn comes_with(program: &str) -> &'static str {
    match program {
        "npx" | "node" => ": it comes with Node.js (https://nodejs.org), where the tool runner is",
        "uv" | "uvx" => ": it comes with uv (https://docs.astral.sh/uv), where the tool runner is",
        "docker" => ": it comes with Docker (https://docs.docker.com), where the tool runner is",
        _ => ", on the PATH of the tool runner",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_misses_a_program_is_told_where_it_comes_from() {
        let folder = tempfile::tempdir().unwrap();
        let start = |program: &str| {
            let command = [program.to_owned()];
            Process::start(&Arc::default(), folder.path(), &command, &BTreeMap::new()).err().unwrap()
        };
        assert_eq!(start("is-not-here"), "`is-not-here` is not there, on the PATH of the tool runner");
        assert!(comes_with("uvx").contains("astral.sh/uv") && comes_with("npx").contains("nodejs.org"));
        // What is there and is no program, is told as it is.
        std::fs::write(folder.path().join("text"), "no program").unwrap();
        assert!(!start(folder.path().join("text").to_str().unwrap()).contains("is not there"));
    }

    #[tokio::test]
    async fn all_of_a_group_goes_even_when_its_leader_went_first() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & exit 0"]).process_group(0).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let group = Group::of(child, Arc::default());
        group.end(Duration::from_secs(2)).await;
        // What is left of it would hold this open.
        let read = tokio::time::timeout(Duration::from_secs(30), stdout.read_to_end(&mut Vec::new())).await;
        assert!(matches!(read, Ok(Ok(0))), "{read:?}");
    }

    #[test]
    fn variables_of_the_runner_are_filled_in_by_name() {
        let path = variable("PATH").unwrap();
        assert_eq!(expand("a${PATH}b"), Ok(format!("a{path}b")));
        assert_eq!(expand("plain $PATH"), Ok("plain $PATH".into()));
        assert!(expand("${NO_SUCH_VARIABLE}").unwrap_err().contains("NO_SUCH_VARIABLE"));
        assert!(expand("${PATH").is_err());
    }
}
