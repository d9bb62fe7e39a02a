//! The sandbox by Docker, against a real daemon: it holds as the other one does.

use testkit::docker::{Docker, IMAGE};
use testkit::eventually;
use testkit::index::FakeIndex;
use testkit::model::FakeModel;
use testkit::process::command;
use testkit::sandbox::Plan;

use domain::turn::ReplyKind;

use crate::sandbox::{EXCESSES, asks, connects, fails, obedient, plan, running, shell};

fn by_docker(model: &FakeModel, folder: &std::path::Path, docker: &Docker) -> Plan {
    let plan = plan(model, folder).set("SANDBOX_MODE", "docker");
    plan.set("DOCKER_HOST", docker.host()).set("DOCKER_SANDBOX_IMAGE", IMAGE)
}

#[tokio::test(flavor = "multi_thread")]
async fn code_in_a_container_reaches_no_more_than_its_folder() {
    let Some(docker) = Docker::start().await else { return };
    let (model, folder, index) = (obedient().await, tempfile::tempdir().unwrap(), FakeIndex::start().await);
    let plan = by_docker(&model, folder.path(), &docker).set("CLARA_WEB_PRIVATE_HOSTS", index.address);
    let sandbox = plan.set("CLARA_SANDBOX_HOSTS", index.address).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let mut doctor = command("clara", sandbox.folder());
    let output = doctor.env("NATS_URL", sandbox.nats.url()).args(["doctor", "--json"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.lines().any(|line| line.contains("\"sandbox\"") && line.contains("docker")), "{said}");

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
        "(exec 9>/proc/1/fd/0)".to_owned(),
        "cat /proc/1/mem".to_owned(),
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
    eventually("no container is left", async || docker.containers().await.is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_container_hold_and_it_goes_with_its_run() {
    let Some(docker) = Docker::start().await else { return };
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let plan = by_docker(&model, folder.path(), &docker).set("CLARA_SANDBOX_FILE_MB", 4);
    let mut sandbox = plan.set("CLARA_SANDBOX_PROCESSES", 32).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let own = [("(sleep 8282 &) ; sleep 60", "took longer than 5s")];
    for (attempt, part) in EXCESSES.iter().chain(&own) {
        let reply = shell(&mut terminal, attempt).await;
        assert!(reply.text.contains(part), "{attempt}: {:.400}", reply.text);
    }
    let message = terminal.says("shell sleep 8383").await;
    eventually("it runs", async || (running("8383") > 0).then_some(())).await;
    terminal.does(proto::terminal::Saying::Stop).await;
    assert_eq!(terminal.reply_to(&message).await.kind, ReplyKind::Stopped);
    eventually("nothing is left", async || {
        (running("8282") + running("8383") == 0 && docker.containers().await.is_empty()).then_some(())
    })
    .await;
    // A runner that dies can end nothing: what it ran ends with it all the same.
    terminal.says("shell sleep 8484").await;
    eventually("it runs", async || (running("8484") > 0).then_some(())).await;
    sandbox.kill("tool-runner", 0);
    eventually("it ended with its runner", async || (running("8484") == 0).then_some(())).await;
}
