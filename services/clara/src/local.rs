//! The data folder and what runs in it: at most one Clara, found by all.
//!
//! Three files say what is so, and survive being killed: `up.lock` is held by
//! the running Clara, `terminals.lock` is shared by open terminals, and
//! `clara.json` says where she is reached.

pub(crate) mod nats_server; // Her own nats-server.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use service_kit::settings::Settings;
use tokio::time::Instant;

/// How long a start may take before it is given up.
const START: Duration = Duration::from_secs(60);

/// The data folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// Where a running Clara is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) pid: u32,
    pub(crate) nats_url: String,
    pub(crate) health: String,
    pub(crate) version: String,
    /// Who serves her models.
    pub(crate) model: String,
    /// What her own nats-server asks of its clients.
    pub(crate) token: Option<String>,
}

impl Running {
    fn read(path: &Path) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        Some(Self {
            pid: u32::try_from(value.get("pid")?.as_u64()?).ok()?,
            nats_url: text("nats_url")?,
            health: text("health")?,
            version: text("version")?,
            model: text("model")?,
            token: text("token"),
        })
    }

    /// The server to connect to.
    pub(crate) fn server(&self, settings: &Settings) -> bus::Server {
        let mut server = service_kit::run::server(settings);
        server.url.clone_from(&self.nats_url);
        if let Some(token) = &self.token {
            server.login = bus::Login::token(token);
        }
        server
    }

    /// For people and scripts: without the bus's token.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "pid": self.pid, "nats_url": bus::shown_url(&self.nats_url), "health": self.health,
            "version": self.version, "model": self.model,
        })
    }
}

impl Folder {
    /// Opens the folder, and makes it if there is none.
    pub(crate) fn open(settings: &Settings) -> anyhow::Result<Self> {
        let path = settings.data_dir();
        let remedy = || {
            format!(
                "cannot write to the data folder {}: name another in CLARA_DATA_DIR, or change its owner",
                path.display()
            )
        };
        let is_new = !path.exists();
        std::fs::create_dir_all(path.join("logs")).with_context(remedy)?;
        if is_new {
            // What people say is in it: nobody else's business.
            std::fs::set_permissions(&path, Permissions::from_mode(0o700)).with_context(remedy)?;
        }
        File::create(path.join(".writable"))
            .and_then(|_| std::fs::remove_file(path.join(".writable")))
            .with_context(remedy)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn lock_file(&self, name: &str) -> anyhow::Result<File> {
        let path = self.path.join(name);
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        opened.with_context(|| format!("open {}", path.display()))
    }

    /// Becomes the one Clara of this folder; `None` when there is one already.
    /// Held until the file is dropped, or the process dies.
    pub(crate) fn become_running(&self) -> anyhow::Result<Option<File>> {
        let file = self.lock_file("up.lock")?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(err)) => Err(err).context("lock the data folder"),
        }
    }

    /// Says that a terminal is open, for as long as the file lives.
    pub(crate) fn open_terminal(&self) -> anyhow::Result<File> {
        let file = self.lock_file("terminals.lock")?;
        file.lock_shared().context("lock the data folder for a terminal")?;
        Ok(file)
    }

    pub(crate) fn has_terminals(&self) -> bool {
        // A folder that cannot be looked at is no reason to stop.
        self.lock_file("terminals.lock").is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Says where Clara is reached.
    pub(crate) fn publish(&self, running: &Running) -> std::io::Result<()> {
        let new = self.path.join("clara.json.new");
        let mut value = running.to_json();
        value["nats_url"] = running.nats_url.clone().into();
        value["token"] = running.token.clone().into();
        std::fs::write(&new, value.to_string())?;
        // It holds the token of the bus.
        std::fs::set_permissions(&new, Permissions::from_mode(0o600))?;
        std::fs::rename(new, self.path.join("clara.json"))
    }

    pub(crate) fn withdraw(&self) {
        // What stays behind is not believed without the lock.
        let _ = std::fs::remove_file(self.path.join("clara.json"));
    }

    /// The Clara that runs here and is ready.
    pub(crate) fn running(&self) -> anyhow::Result<Option<Running>> {
        match self.become_running()? {
            Some(_) => Ok(None),
            None => Ok(Running::read(&self.path.join("clara.json"))),
        }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("logs/clara.log")
    }

    /// Finds the running Clara, or starts one in the background and waits until
    /// it is ready. `tell` is called once if there is something to wait for.
    pub(crate) async fn ensure_running(&self, tell: impl FnOnce()) -> anyhow::Result<Running> {
        if let Some(running) = self.running()? {
            return Ok(running);
        }
        tell();
        let log = File::create(self.log()).with_context(|| format!("write {}", self.log().display()))?;
        let mut child = tokio::process::Command::new(std::env::current_exe().context("find the clara program")?)
            .args(["up", "--until-idle"])
            .env("CLARA_DATA_DIR", &self.path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C in this terminal is for the conversation, not for her.
            .process_group(0)
            .spawn()
            .context("start clara in the background")?;
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if let Some(running) = self.running()? {
                return Ok(running);
            }
            if let Some(status) = child.try_wait().context("look after clara in the background")?
                // Two terminals may start at once: then the other one's Clara is joined.
                && self.become_running()?.is_some()
            {
                bail!("Clara could not start ({status}):\n{}", self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("Clara was not ready after {START:?}; her log is {}", self.log().display())
    }

    /// The end of the log, for people.
    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let plain: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('{')).collect();
        let lines = if plain.is_empty() { log.lines().collect() } else { plain };
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}
