//! The sandboxes by Docker and Incus, against real daemons: they hold as bubblewrap does.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use testkit::index::FakeIndex;
use testkit::model::FakeModel;
use testkit::process::command;
use testkit::sandbox::{Plan, Sandbox};
use testkit::{docker, eventually, incus};

use domain::turn::ReplyKind;

use crate::sandbox::{EXCESSES, asks, connects, fails, obedient, plan, running, shares_processors_out, shell};

/// What makes containers here.
enum Daemon {
    Docker(docker::Docker),
    Incus(incus::Incus),
}

impl Daemon {
    /// Nothing where it cannot run.
    async fn docker() -> Option<Self> {
        docker::Docker::start().await.map(Self::Docker)
    }

    async fn incus() -> Option<Self> {
        incus::Incus::start().await.map(Self::Incus)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Docker(_) => "docker",
            Self::Incus(_) => "incus",
        }
    }

    fn runs_code_of(&self, model: &FakeModel, folder: &std::path::Path) -> Plan {
        let plan = plan(model, folder).set("SANDBOX_MODE", self.name());
        match self {
            Self::Docker(docker) => plan.set("DOCKER_HOST", docker.host()).set("DOCKER_SANDBOX_IMAGE", docker::IMAGE),
            Self::Incus(incus) => {
                plan.set("INCUS_SOCKET", incus.socket().display()).set("INCUS_SANDBOX_IMAGE", incus::IMAGE)
            }
        }
    }

    fn holds(&self, sandbox: &Sandbox) {
        let mut doctor = command("clara", sandbox.folder());
        let output = doctor.env("NATS_URL", sandbox.nats.url()).args(["doctor", "--json"]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let line = said.lines().find(|line| line.contains("\"sandbox\"")).unwrap();
        assert!(line.contains(&format!("code runs in {}", self.name())), "{line}");
    }

    async fn has_none(&self) -> Option<()> {
        let left = match self {
            Self::Docker(docker) => docker.containers().await,
            Self::Incus(incus) => incus.instances().await,
        };
        left.is_empty().then_some(())
    }
}

/// Tries something with one daemon, and with another one when that hung: on some machines Incus
/// stops answering anybody when it starts a container, once in some hundred times. What fails
/// while it answers is a failure, and so is that all of them hang.
async fn by_incus<Tries: Future<Output = ()>>(tries: fn(Daemon) -> Tries) {
    for others in (0..5).rev() {
        let Some(daemon) = Daemon::incus().await else { return };
        let Daemon::Incus(incus) = &daemon else { return };
        let hangs = incus.hangs();
        let Err(failed) = AssertUnwindSafe(tries(daemon)).catch_unwind().await else { return };
        if others == 0 || !hangs.load(Ordering::Relaxed) {
            std::panic::resume_unwind(failed);
        }
        eprintln!("the Incus daemon hung, and answered nobody: trying again with another one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_in_a_container_reaches_no_more_than_its_folder() {
    let Some(docker) = Daemon::docker().await else { return };
    reaches_no_more_than_its_folder(docker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_in_an_instance_reaches_no_more_than_its_folder() {
    by_incus(reaches_no_more_than_its_folder).await;
}

async fn reaches_no_more_than_its_folder(daemon: Daemon) {
    let (model, folder, index) = (obedient().await, tempfile::tempdir().unwrap(), FakeIndex::start().await);
    let plan = daemon.runs_code_of(&model, folder.path()).set("CLARA_WEB_PRIVATE_HOSTS", index.address);
    let sandbox = plan.set("CLARA_SANDBOX_HOSTS", index.address).start().await;
    let mut terminal = sandbox.terminal("main").await;
    daemon.holds(&sandbox);

    let reply = terminal.asks("python open('n.txt', 'w').write('seven'); print(6 * 7)").await;
    assert!(reply.text.contains("\n42\n"), "{}", reply.text);
    assert!(terminal.asks(r#"call read_file {"path": "n.txt"}"#).await.text.contains("seven"));
    assert!(terminal.asks(r#"call write_file {"path": "m.txt", "content": "eight"}"#).await.text.contains("Wrote"));
    assert!(shell(&mut terminal, "cat m.txt; exit 3").await.text.contains("status 3:\neight"));

    let port = sandbox.nats.url().rsplit(':').next().unwrap().to_owned();
    let data = sandbox.folder().join("data").display().to_string();
    for attempt in [
        format!("ls {data}"),
        "ls /var/run/docker.sock".to_owned(),
        connects("127.0.0.1", &port),
        connects("169.254.169.254", "80"),
        "echo x > /usr/bin/evil".to_owned(),
        // Who holds this would outlive the runner.
        "(exec 9>/proc/$PPID/fd/0)".to_owned(),
        "cat /proc/$PPID/maps | grep .".to_owned(),
        "python3 -c \"import os; os.chroot('/tmp')\"".to_owned(),
        "python3 -c \"import ctypes; raise SystemExit(ctypes.CDLL(None).unshare(0x10000000) == -1)\"".to_owned(),
    ] {
        fails(&mut terminal, &attempt).await;
    }
    let reached = shell(&mut terminal, &asks(&format!("http://{}/hello", index.address))).await;
    assert!(reached.text.contains("hello from outside"), "{}", reached.text);
    for url in [
        "http://169.254.169.254/latest".to_owned(),
        format!("http://localhost:{}/hello", index.address.port()),
        format!("http://{}/to/169.254.169.254/latest", index.address),
    ] {
        let refused = shell(&mut terminal, &asks(&url)).await;
        assert!(refused.text.contains("HTTP Error 403"), "{}", refused.text);
    }
    eventually("no container is left", async || daemon.has_none().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_container_hold_and_it_goes_with_its_run() {
    let Some(docker) = Daemon::docker().await else { return };
    limits_hold_and_it_goes_with_its_run(docker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_an_instance_hold_and_it_goes_with_its_run() {
    by_incus(limits_hold_and_it_goes_with_its_run).await;
}

async fn limits_hold_and_it_goes_with_its_run(daemon: Daemon) {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let plan =
        daemon.runs_code_of(&model, folder.path()).set("CLARA_SANDBOX_FILE_MB", 4).set("CLARA_SANDBOX_CPU_PERCENT", 50);
    let mut sandbox = plan.set("CLARA_SANDBOX_PROCESSES", 32).start().await;
    daemon.holds(&sandbox);
    let mut terminal = sandbox.terminal("main").await;
    shares_processors_out(&mut terminal).await;
    let own = [("(sleep 8282 &) ; sleep 60", "took longer than 5s")];
    for (attempt, part) in EXCESSES.iter().chain(&own) {
        let reply = shell(&mut terminal, attempt).await;
        assert!(reply.text.contains(part), "{attempt}: {:.400}", reply.text);
    }
    let message = terminal.says("shell sleep 8383").await;
    eventually("it runs", async || (running("8383") > 0).then_some(())).await;
    terminal.does(proto::terminal::Saying::Stop).await;
    assert_eq!(terminal.reply_to(&message).await.kind, ReplyKind::Stopped);
    eventually("nothing is left", async || match running("8282") + running("8383") {
        0 => daemon.has_none().await,
        _ => None,
    })
    .await;
    // A runner that dies can end nothing: what it ran ends with it all the same.
    terminal.says("shell sleep 8484").await;
    eventually("it runs", async || (running("8484") > 0).then_some(())).await;
    sandbox.kill("tool-runner", 0);
    eventually("it ended with its runner", async || (running("8484") == 0).then_some(())).await;
}
