//! Her own nats-server: found, started, adopted, looked after, stopped.
//!
//! Adopted: a server that outlived a killed Clara still has the data open, and
//! two servers must never share a folder.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use service_kit::settings::Settings;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Folder;

/// How long the server may take to listen.
const START: Duration = Duration::from_secs(30);
/// How long it may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(10);
const CONFIG: &str = include_str!("../../../../nats/server.conf");

/// A nats-server of the data folder.
pub(crate) struct NatsServer {
    program: PathBuf,
    folder: PathBuf,
    log: PathBuf,
    port: u16,
    token: String,
    process: Process,
}

enum Process {
    Child(Child),
    Adopted(Pid),
}

/// The program, and its version as it says itself.
pub(crate) fn find(settings: &Settings) -> anyhow::Result<(PathBuf, String)> {
    let program = match settings.optional("CLARA_NATS_SERVER") {
        Some(named) => PathBuf::from(named),
        None => on_path("nats-server").context(
            "nats-server was not found on the PATH. Install it (`./dev` does, or brew, or your distribution: 2.10 or newer), \
             or name it in CLARA_NATS_SERVER",
        )?,
    };
    let asked = std::process::Command::new(&program).arg("--version").output();
    let said = asked.with_context(|| format!("run {}: check CLARA_NATS_SERVER", program.display()))?.stdout;
    let version = String::from_utf8_lossy(&said).trim().rsplit(['v', ' ']).next().unwrap_or_default().to_owned();
    Ok((program, version))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Whether a version is 2.10 or newer.
pub(crate) fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (2, 10)
}

impl NatsServer {
    /// Starts the server of a data folder, or adopts the one that runs there.
    pub(crate) async fn start(settings: &Settings, data: &Folder) -> anyhow::Result<Self> {
        let (program, version) = find(settings)?;
        if !is_new_enough(&version) {
            bail!("{} is version {version}; Clara needs nats-server 2.10 or newer", program.display());
        }
        let folder = data.path().join("nats");
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let log = data.path().join("logs/nats-server.log");
        let token = token(&folder)?;
        if let Some((pid, port)) = surviving(&folder) {
            info!(pid = pid.as_raw_nonzero().get(), "adopting the nats-server that outlived the last Clara");
            return Ok(Self { program, folder, log, port, token, process: Process::Adopted(pid) });
        }
        // The last port again, if it is free: terminals find her where she was.
        let last = std::fs::read_to_string(folder.join("port")).ok().and_then(|text| text.trim().parse().ok());
        let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let wanted = last.filter(|port| *port != 0 && free(port));
        let child = spawn(&program, &folder, &log, &token, wanted)?;
        let mut server =
            Self { program, folder, log, port: wanted.unwrap_or(0), token, process: Process::Child(child) };
        server.port = server.wait_for_port().await?;
        std::fs::write(server.folder.join("port"), server.port.to_string()).context("write the nats-server's port")?;
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// What the server asks of its clients.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    async fn wait_for_port(&mut self) -> anyhow::Result<u16> {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if let Process::Child(child) = &mut self.process {
                if let Some(status) = child.try_wait().context("look after nats-server")? {
                    bail!("nats-server ended at once ({status}):\n{}", tail(&self.log));
                }
                if let Some(port) = child.id().and_then(|pid| ports(&self.folder, pid)) {
                    return Ok(port);
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("nats-server did not listen within {START:?}; its log is {}", self.log.display())
    }

    /// Looks after the server until `stop`: one that ends is started anew on
    /// the same port, so that everybody finds it again.
    pub(crate) async fn look_after(&mut self, stop: CancellationToken) {
        loop {
            let ended = async {
                match &mut self.process {
                    Process::Child(child) => drop(child.wait().await),
                    Process::Adopted(pid) => {
                        while test_kill_process(*pid).is_ok() {
                            tokio::time::sleep(Duration::from_millis(500)).await;
                        }
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = ended => warn!(log = %self.log.display(), "nats-server ended; starting it anew"),
            }
            match spawn(&self.program, &self.folder, &self.log, &self.token, Some(self.port)) {
                Ok(child) => self.process = Process::Child(child),
                Err(err) => warn!(error = format!("{err:#}"), "failed to start nats-server; trying again"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
        }
    }

    /// Stops the server, and waits until its data is on disk.
    pub(crate) async fn stop(mut self) {
        let pid = match &self.process {
            Process::Child(child) => child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)),
            Process::Adopted(pid) => Some(*pid),
        };
        let Some(pid) = pid else { return };
        if let Err(err) = kill_process(pid, Signal::TERM) {
            warn!(error = %err, "failed to stop nats-server");
        }
        let gone = async {
            match &mut self.process {
                Process::Child(child) => drop(child.wait().await),
                Process::Adopted(pid) => {
                    while test_kill_process(*pid).is_ok() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        };
        if tokio::time::timeout(STOP, gone).await.is_err() {
            warn!("nats-server did not stop in time; killing it");
            // It may have ended in this moment.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn spawn(program: &Path, folder: &Path, log: &Path, token: &str, port: Option<u16>) -> anyhow::Result<Child> {
    let quoted = |path: &Path| path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let config = CONFIG
        .replace("{store_dir}", &quoted(&folder.join("jetstream")))
        .replace("{port_file_dir}", &quoted(folder))
        .replace("{name}", &server_name(folder))
        .replace("{token}", token)
        .replace("127.0.0.1:-1", &format!("127.0.0.1:{}", port.map_or(-1, i32::from)));
    let file = folder.join("server.conf");
    write_private(&file, &config)?;
    let output = std::fs::File::create(log).with_context(|| format!("write {}", log.display()))?;
    Command::new(program)
        .arg("-c")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("open the nats-server's log")?)
        .stderr(output)
        // It outlives Ctrl-C, so that the services can finish on it.
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {}", program.display()))
}

/// The token of this folder's server, made once.
fn token(folder: &Path) -> anyhow::Result<String> {
    let file = folder.join("token");
    if let Ok(token) = std::fs::read_to_string(&file)
        && !token.is_empty()
    {
        return Ok(token);
    }
    let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    write_private(&file, &token)?;
    Ok(token)
}

/// Writes a file that only this account can read.
fn write_private(file: &Path, text: &str) -> anyhow::Result<()> {
    let write = || {
        let mut options = OpenOptions::new();
        let mut opened = options.write(true).create(true).truncate(true).mode(0o600).open(file)?;
        opened.write_all(text.as_bytes())
    };
    write().with_context(|| format!("write {}", file.display()))
}

/// A name that tells one folder's server from another's.
fn server_name(folder: &Path) -> String {
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, folder.as_os_str().as_encoded_bytes());
    format!("clara-{id}")
}

/// The port in the file that a server writes when it listens.
fn ports(folder: &Path, pid: u32) -> Option<u16> {
    let text = std::fs::read(folder.join(format!("nats-server_{pid}.ports"))).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
    value.get("nats")?.get(0)?.as_str()?.rsplit(':').next()?.parse().ok()
}

/// A server of this folder that is still alive.
fn surviving(folder: &Path) -> Option<(Pid, u16)> {
    let mut found = None;
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.strip_prefix("nats-server_").and_then(|rest| rest.strip_suffix(".ports")) else {
            continue;
        };
        let (Ok(raw), port) = (pid.parse::<i32>(), pid.parse().ok().and_then(|pid| ports(folder, pid))) else {
            continue;
        };
        match (Pid::from_raw(raw).filter(|pid| is_ours(*pid, folder)), port) {
            (Some(pid), Some(port)) => found = Some((pid, port)),
            // Left behind by a server that was killed.
            _ => drop(std::fs::remove_file(entry.path())),
        }
    }
    found
}

/// Whether a process is a nats-server of this folder: the number alone may
/// belong to anybody by now.
fn is_ours(pid: Pid, folder: &Path) -> bool {
    if test_kill_process(pid).is_err() {
        return false;
    }
    let config = folder.join("server.conf");
    let asked =
        std::process::Command::new("ps").args(["-o", "args=", "-p", &pid.as_raw_nonzero().to_string()]).output();
    asked.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&config.display().to_string()))
        || std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&config.display().to_string()))
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(6)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(is_new_enough("2.15.1") && is_new_enough("2.10.0") && is_new_enough("3.0.0"));
        assert!(!is_new_enough("2.9.25") && !is_new_enough("") && !is_new_enough("garbage"));
    }
}
