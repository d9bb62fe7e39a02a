//! A real FalkorDB with data of its own, on a free port, with a password.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The password that it takes; one that a URL does not take as it is.
pub const PASSWORD: &str = "falkor:canary@0123/#";

pub struct FalkorDb {
    child: Child,
    _folder: TempDir,
    port: u16,
}

impl FalkorDb {
    pub fn start() -> Self {
        let programs = std::env::var_os("CLARA_TEST_FALKORDB_FOLDER")
            .map(PathBuf::from)
            .expect("CLARA_TEST_FALKORDB_FOLDER names FalkorDB's programs: run the tests by `./dev test`");
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(programs.join("redis-server"))
            .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--requirepass", PASSWORD])
            .arg("--dir")
            .arg(folder.path())
            .arg("--loadmodule")
            .arg(programs.join("falkordb.so"))
            .args(["THREAD_COUNT", "2"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let falkordb = Self { child, _folder: folder, port };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "FalkorDB did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        falkordb
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The settings that make Clara use it.
    pub fn settings(&self) -> [(&'static str, String); 4] {
        [
            ("ENABLE_GRAPH_MEMORY", "true".into()),
            ("FALKORDB_HOST", "127.0.0.1".into()),
            ("FALKORDB_PORT", self.port.to_string()),
            ("FALKORDB_PASSWORD", PASSWORD.into()),
        ]
    }
}

impl Drop for FalkorDb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
