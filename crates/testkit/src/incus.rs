//! A real Incus daemon with data of its own and one image, where one can run.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The alias of the image: this machine's Python and shell.
pub const IMAGE: &str = "clara-test";

pub struct Incus {
    child: Child,
    folder: TempDir,
}

impl Incus {
    /// Starts one; nothing where `scripts/incus` found that none can run.
    pub async fn start() -> Option<Self> {
        let Some(programs) = std::env::var_os("CLARA_TEST_INCUS_FOLDER").filter(|folder| !folder.is_empty()) else {
            eprintln!("left out: no Incus daemon runs here (CLARA_TEST_INCUS_FOLDER)");
            return None;
        };
        let (programs, folder) = (PathBuf::from(programs), tempfile::tempdir().unwrap());
        let log = File::create(folder.path().join("log")).unwrap();
        let child =
            Command::new(programs.join("start")).arg(folder.path()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let incus = Self { child, folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while incus.client().get("http://incus/1.0").send().await.is_err() {
            let log = std::fs::read_to_string(incus.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "the Incus daemon did not start: {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        incus.does("/1.0/storage-pools", json!({"name": "default", "driver": "dir"}).to_string().into()).await;
        let image = incus.does("/1.0/images", std::fs::read(programs.join("image.tar")).unwrap().into()).await;
        let target = &image["metadata"]["fingerprint"];
        incus.does("/1.0/images/aliases", json!({"name": IMAGE, "target": target}).to_string().into()).await;
        Some(incus)
    }

    /// Where it listens, as `INCUS_SOCKET` has it.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("incus/unix.socket")
    }

    /// Whether it has ever let somebody wait for five seconds, from now on: a daemon that works
    /// tells who it is at once, whatever else it does.
    pub fn hangs(&self) -> Arc<AtomicBool> {
        let (hangs, client, socket) = (Arc::<AtomicBool>::default(), self.client(), self.socket());
        let told = Arc::clone(&hangs);
        tokio::spawn(async move {
            while socket.exists() && !told.load(Ordering::Relaxed) {
                let asked = client.get("http://incus/1.0").timeout(Duration::from_secs(5)).send().await;
                told.fetch_or(asked.is_err_and(|err| err.is_timeout()), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        hangs
    }

    /// The names of its instances, whatever became of them.
    pub async fn instances(&self) -> Vec<String> {
        let listed = self.asks("/1.0/instances").await;
        listed.as_array().unwrap().iter().map(|instance| instance.as_str().unwrap().to_owned()).collect()
    }

    /// Has something made, to its end; what its operation then says.
    async fn does(&self, path: &str, body: Bytes) -> Value {
        let answer = self.client().post(format!("http://incus{path}")).body(body).send().await.unwrap();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_ne!(answer["type"], "error", "{answer}");
        match answer["operation"].as_str() {
            Some(operation) if !operation.is_empty() => {
                let ended = self.asks(&format!("{operation}/wait")).await;
                assert_eq!(ended["status_code"], 200, "{ended}");
                ended
            }
            _ => answer,
        }
    }

    async fn asks(&self, path: &str) -> Value {
        let answer = self.client().get(format!("http://incus{path}")).send().await.unwrap();
        let mut answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        answer["metadata"].take()
    }

    fn client(&self) -> reqwest::Client {
        reqwest::Client::builder().unix_socket(self.socket()).timeout(Duration::from_secs(60)).build().unwrap()
    }
}

impl Drop for Incus {
    fn drop(&mut self) {
        // This signal ends its instances too; killed, it would leave them.
        let _ = Command::new("kill").args(["-s", "PWR", &self.child.id().to_string()]).status();
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        // What hangs is ended with everything that names its folder.
        let _ = self.child.kill();
        let _ = Command::new("pkill").args(["-KILL", "-f"]).arg(self.folder.path()).status();
        let _ = self.child.wait();
    }
}
