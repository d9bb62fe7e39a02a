//! A real PostgreSQL with data of its own, reached over TCP on a free port.
//!
//! PostgreSQL refuses to run as root; then it runs as the account `nobody`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub struct Postgres {
    child: Child,
    _folder: TempDir,
    port: u16,
}

fn bin() -> PathBuf {
    std::env::var_os("CLARA_TEST_POSTGRES_BIN")
        .map(PathBuf::from)
        .expect("CLARA_TEST_POSTGRES_BIN names PostgreSQL's programs: run the tests by `./dev test`")
}

/// A command that is not run as root.
fn command(program: &Path) -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

impl Postgres {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Its account must get to its own data below.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let data = folder.path().join("data");
        let made = command(&bin().join("initdb"))
            .args(["--auth=trust", "--username=clara", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = command(&bin().join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c"])
            .arg(format!("unix_socket_directories={}", folder.path().display()))
            .args(["-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let postgres = Self { child, _folder: folder, port };
        let deadline = Instant::now() + Duration::from_secs(60);
        let ready = || {
            let asked =
                Command::new(bin().join("pg_isready")).args(["-h", "127.0.0.1", "-p", &port.to_string()]).output();
            asked.is_ok_and(|asked| asked.status.success())
        };
        while !ready() {
            assert!(Instant::now() < deadline, "PostgreSQL did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        postgres
    }

    pub fn url(&self) -> String {
        format!("postgres://clara@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is a fast shutdown; killing the parent alone leaves children.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
        let _ = self.child.wait();
    }
}
