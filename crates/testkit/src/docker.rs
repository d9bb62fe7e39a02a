//! A real Docker daemon with data of its own and one image, where one can run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tempfile::TempDir;

/// The image: this machine's Python and shell.
pub const IMAGE: &str = "clara-test";

pub struct Docker {
    child: Child,
    folder: TempDir,
}

impl Docker {
    /// Starts one; nothing where `scripts/docker` found that none can run.
    pub async fn start() -> Option<Self> {
        let Some(programs) = std::env::var_os("CLARA_TEST_DOCKER_FOLDER").filter(|folder| !folder.is_empty()) else {
            eprintln!("left out: no Docker daemon runs here (CLARA_TEST_DOCKER_FOLDER)");
            return None;
        };
        let (programs, folder) = (PathBuf::from(programs), tempfile::tempdir().unwrap());
        let path = std::env::var("PATH").unwrap_or_default();
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new(programs.join("bin/dockerd"))
            .env("PATH", format!("{}:{path}", programs.join("bin").display()))
            .args(["--bridge=none", "--iptables=false", "--ip-forward=false", "--host"])
            .arg(format!("unix://{}", folder.path().join("socket").display()))
            .args([Path::new("--data-root"), &folder.path().join("data")])
            .args([Path::new("--exec-root"), &folder.path().join("exec")])
            .args([Path::new("--pidfile"), &folder.path().join("pid")])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let docker = Self { child, folder };
        let image = Bytes::from(std::fs::read(programs.join("image.tar")).unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        while docker.imported(image.clone()).await.is_none() {
            let log = std::fs::read_to_string(docker.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "the Docker daemon did not start: {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(docker)
    }

    /// Where it listens, as `DOCKER_HOST` has it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }

    /// The names of its containers, whatever became of them.
    pub async fn containers(&self) -> Vec<String> {
        let listed = self.client().get("http://docker/containers/json?all=true").send().await.unwrap();
        let listed: Vec<serde_json::Value> = serde_json::from_str(&listed.text().await.unwrap()).unwrap();
        listed.iter().map(|container| container["Names"][0].as_str().unwrap().to_owned()).collect()
    }

    async fn imported(&self, image: Bytes) -> Option<()> {
        let import = format!("http://docker/images/create?fromSrc=-&repo={IMAGE}&tag=latest");
        let answer = self.client().post(import).body(image).send().await.ok()?;
        let (status, text) = (answer.status(), answer.text().await.ok()?);
        assert!(status.is_success() && text.contains("sha256:"), "{status}: {text}");
        Some(())
    }

    fn client(&self) -> reqwest::Client {
        reqwest::Client::builder().unix_socket(self.folder.path().join("socket")).build().unwrap()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // Killed, it would leave its containers and its mounts.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
