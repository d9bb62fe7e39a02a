//! A real nats-server with a store of its own, on a free port.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server for tests: JetStream, and room for what a turn carries.
pub const CONFIGURATION: &str = "jetstream { {store} }\nmax_payload: 8MB\n";

/// What JetStream may reserve, as much as `nats/server.conf` says: by itself the server takes three
/// quarters of what is free on the disk, and on a nearly full one no stream could be made.
const ROOM: &str = "max_file_store: 16GB";

pub struct Nats {
    child: Child,
    folder: TempDir,
    port: u16,
    options: String,
}

/// The nats-server program.
pub fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path)
        .map(|folder| folder.join("nats-server"))
        .find(|file| file.is_file())
        .expect("nats-server is on the PATH: run the tests by `./dev test`")
}

impl Nats {
    /// Starts a server with JetStream.
    pub fn start() -> Self {
        Self::start_with(CONFIGURATION)
    }

    /// Starts a server with a configuration; `{store}` stands for the settings of its store:
    /// where it is, and what it may reserve.
    pub fn start_with(options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (child, port) = spawn(&folder, options, -1);
        Self { child, folder, port, options: options.to_owned() }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the server, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same port and store.
    pub fn restart(&mut self) {
        (self.child, _) = spawn(&self.folder, &self.options, i32::from(self.port));
    }
}

fn spawn(folder: &TempDir, options: &str, port: i32) -> (Child, u16) {
    let path = folder.path();
    let store = format!("store_dir: \"{}\", {ROOM}", path.join("store").display());
    let options = options.replace("{store}", &store);
    let config = format!("listen: \"127.0.0.1:{port}\"\nports_file_dir: \"{}\"\n{options}", path.display());
    std::fs::write(path.join("nats.conf"), config).unwrap();
    let log = std::fs::File::create(path.join("log")).unwrap();
    let mut child = Command::new(program())
        .arg("-c")
        .arg(path.join("nats.conf"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let ports = path.join(format!("nats-server_{}.ports", child.id()));
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let written =
            std::fs::read(&ports).ok().and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        if let Some(port) = written.and_then(|ports| ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()) {
            return (child, port);
        }
        let ended = child.try_wait().unwrap();
        let log = || std::fs::read_to_string(path.join("log")).unwrap_or_default();
        assert!(ended.is_none() && Instant::now() < deadline, "nats-server did not start: {}", log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
