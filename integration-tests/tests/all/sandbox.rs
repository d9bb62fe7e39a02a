//! Code in the sandbox, and what it tries: attacks S19 to S21 of the security notes, for
//! real.

use std::path::Path;

use domain::turn::{Reply, ReplyKind};
use testkit::eventually;
use testkit::model::{Act, Asked, FakeModel};
use testkit::sandbox::{Plan, Sandbox};
use testkit::terminal::Terminal;

/// A model that runs what it is told to: `shell <command>`, `python <code>`, or
/// `call <name> <arguments>`.
pub(crate) async fn obedient() -> FakeModel {
    FakeModel::start(|asked: &Asked, _| {
        if let Some(result) = asked.results.last() {
            return Act::say(format!("result: {result}"));
        }
        let call =
            |name: &str, field: &str, text: &str| Act::call(name, &serde_json::json!({ field: text }).to_string());
        match asked.last_user.split_once(' ') {
            Some(("shell", command)) => call("run_shell", "command", command),
            Some(("python", code)) => call("execute_python", "code", code),
            Some(("call", rest)) => {
                let (name, arguments) = rest.split_once(' ').unwrap();
                Act::call(name, arguments)
            }
            _ => Act::say("all right"),
        }
    })
    .await
}

pub(crate) fn plan(model: &FakeModel, folder: &Path) -> Plan {
    let policy = folder.join("policy.toml");
    std::fs::write(&policy, "[[rule]]\nruling = 'allow'\ntools = ['group:sandbox']\n").unwrap();
    let plan = Sandbox::plan().with(model.as_openai()).set("CLARA_POLICY_FILE", policy.display());
    // A canary, where every process of hers can read it.
    plan.set("OPENROUTER_API_KEY", "canary-0123456789")
        .set("CLARA_SANDBOX_SECONDS", 5)
        .set("CLARA_SANDBOX_MEMORY_MB", 64)
}

pub(crate) async fn shell(terminal: &mut Terminal, command: &str) -> Reply {
    let reply = terminal.asks(&format!("shell {command}")).await;
    assert!(!reply.text.contains("there is no tool"), "no sandbox holds here: {}", reply.text);
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn code_runs_in_a_folder_that_lasts_and_is_ones_own() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let no_daemon = folder.path().join("no-docker.sock");
    let plan = plan(&model, folder.path()).set("DOCKER_HOST", format!("unix://{}", no_daemon.display()));
    let mut sandbox = plan.start().await;
    let mut terminal = sandbox.terminal("main").await;
    let reply = terminal.asks("python open('n.txt', 'w').write('seven'); print(6 * 7)").await;
    assert_eq!(reply.text, "result: 42\n", "{}", reply.text);
    sandbox.kill("tool-runner", 0);
    sandbox.start_service("tool-runner", 0);
    sandbox.ready(1).await;
    assert_eq!(shell(&mut terminal, "cat n.txt; echo it\\'s \"here\"").await.text, "result: sevenit's here\n");
    let read = terminal.asks(r#"call read_file {"path": "n.txt"}"#).await;
    assert_eq!(read.text, "result: seven");
    let wrote = terminal.asks(r#"call write_file {"path": "data/a.csv", "content": "1,2"}"#).await;
    assert!(wrote.text.contains("Wrote data/a.csv"), "{}", wrote.text);
    assert!(terminal.asks("call list_files {}").await.text.contains("data/a.csv (3 bytes)"));
    assert!(shell(&mut terminal, "exit 3").await.text.contains("it ended with status 3"));
    let zipped = shell(&mut terminal, "python3 -m zipfile -c a.zip data/a.csv && rm -r data && echo done").await;
    assert_eq!(zipped.text, "result: done\n");
    assert!(terminal.asks(r#"call unzip_file {"path": "a.zip"}"#).await.text.contains("Unpacked 1 files"));

    // From one's own files into the folder, and what came of it back.
    terminal.asks(r#"call save_to_local {"filename": "in.txt", "content": "one\ntwo\nthree"}"#).await;
    let up =
        terminal.asks(r#"call upload_to_sandbox {"local_filename": "in.txt", "sandbox_path": "work/in.txt"}"#).await;
    assert!(up.text.contains("Copied in.txt to work/in.txt (13 bytes)"), "{}", up.text);
    let row = terminal.asks(r#"call read_file {"path": "work/in.txt", "start_row": 2, "end_row": 2}"#).await;
    assert_eq!(row.text, "result: two\n[the file goes on]");
    shell(&mut terminal, "tac work/in.txt > work/out.txt").await;
    let down = terminal.asks(r#"call download_from_sandbox {"sandbox_path": "work/out.txt"}"#).await;
    assert!(down.text.contains("Copied work/out.txt to out.txt"), "{}", down.text);
    assert!(terminal.asks(r#"call read_local_file {"filename": "out.txt"}"#).await.text.contains("threetwo\none"));

    let mut doctor = testkit::process::command("clara", sandbox.folder());
    let output = doctor.env("NATS_URL", sandbox.nats.url()).args(["doctor", "--json"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().find(|line| line.contains("\"sandbox\"")).unwrap();
    assert!(line.contains("code runs in bubblewrap (docker: ") && line.contains("incus: "), "{line}");
    assert!(line.contains(&no_daemon.display().to_string()), "why the others do not hold: {line}");

    let mut bob = Terminal::open(sandbox.bus().await, "cli-bob", "main").await;
    assert_eq!(bob.asks("call list_files {}").await.text, "result: There are no files.");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_programs_define_is_there_for_the_next_ones() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let mut sandbox = plan(&model, folder.path()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let mut python = async |code: &str| terminal.asks(&format!("python {code}")).await.text;
    let defined = python(
        "import math\nclass Trip:\n    def __init__(self, to):\n        self.to = to\n\
         def far(most=3):\n    return math.floor(2.7) + most\ntrip, n = Trip('Oslo'), [1, 2]",
    );
    assert_eq!(defined.await, "result: It ended well, and printed nothing.");
    sandbox.kill("tool-runner", 0);
    sandbox.start_service("tool-runner", 0);
    sandbox.ready(1).await;
    assert_eq!(python("print(trip.to, far(), sum(n))").await, "result: Oslo 5 3\n");
    // What a program did before it failed counts, and its lines are its own.
    let failed = python("y = 7\n1/0").await;
    assert!(
        failed.contains("ZeroDivisionError") && failed.contains("line 2") && failed.contains("status 1"),
        "{failed}"
    );
    let lock = python("import threading; lock = threading.Lock(); print(y)").await;
    assert_eq!(lock, "result: 7\n[not kept for the next program: lock]\n");
    let mut bob = Terminal::open(sandbox.bus().await, "cli-bob", "main").await;
    assert_eq!(bob.asks("python print('trip' in globals())").await.text, "result: False\n");
    let reset = r#"call execute_python {"code": "print('trip' in globals())", "reset": true}"#;
    assert_eq!(terminal.asks(reset).await.text, "result: False\n");
}

/// What an attempt prints that succeeded.
const SUCCEEDED: &str = "it-succeeded";

/// An attempt that tells whether it succeeded; that words are in two keeps them out of
/// whatever repeats the command.
fn marked(attempt: &str) -> String {
    format!("{attempt} && echo it-\"\"succeeded; echo tried")
}

pub(crate) fn connects(host: &str, port: &str) -> String {
    format!("python3 -c \"import socket; socket.create_connection(('{host}', {port}), 2)\"")
}

/// Burns what it is given of a processor, which is a half: other programs on the machine can
/// only make that less.
pub(crate) async fn shares_processors_out(terminal: &mut Terminal) {
    let burns = "python3 -c \"import time; end = time.monotonic() + 2\nwhile time.monotonic() < end: pass\nprint('burnt', \
                 time.process_time() < 1.5)\"";
    let reply = shell(terminal, burns).await;
    assert!(reply.text.contains("burnt True"), "{}", reply.text);
}

pub(crate) async fn fails(terminal: &mut Terminal, attempt: &str) {
    let text = shell(terminal, &marked(attempt)).await.text;
    assert!(text.contains("tried") && !text.contains(SUCCEEDED), "{attempt}: {text}");
    assert!(!text.contains("canary") && !text.contains("root:"), "{attempt}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_its_own_is_out_of_its_reach() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let sandbox = plan(&model, folder.path()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let port = sandbox.nats.url().rsplit(':').next().unwrap().to_owned();
    let key = folder.path().join("id_rsa");
    std::fs::write(&key, "canary").unwrap();
    // What succeeds says so. These do outside, so it is the sandbox that stops them.
    for attempt in [
        "cat /etc/passwd",
        "ls /home",
        "ls /sys/fs/cgroup",
        "test $(ls /proc | grep -c '^[0-9]') -gt 8",
        &format!("cat {}", key.display()),
        &format!("ls {}", sandbox.folder().join("data").display()),
        &connects("127.0.0.1", &port),
    ] {
        let outside = std::process::Command::new("sh").args(["-c", &marked(attempt)]).output().unwrap();
        assert!(String::from_utf8_lossy(&outside.stdout).contains(SUCCEEDED), "{attempt} proves nothing here");
        fails(&mut terminal, attempt).await;
    }
    // These need not succeed on every machine.
    for attempt in [
        "cat /etc/shadow",
        "tr '\\0' '\\n' < /proc/1/environ | grep .",
        "cat /var/run/secrets/kubernetes.io/serviceaccount/token",
        "ls /var/run/docker.sock",
        &connects("169.254.169.254", "80"),
        &connects("1.1.1.1", "53"),
        "unshare -U true",
        "mount -t tmpfs none /mnt",
        "python3 -c \"import ctypes; raise SystemExit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) == -1)\"",
        "echo x > /usr/bin/evil",
        "dmesg",
    ] {
        fails(&mut terminal, attempt).await;
    }
    // Sockets to the host of a virtual machine, and to the kernel: refused (EPERM), not unknown.
    for family in ["AF_VSOCK", "AF_ALG"] {
        let socket = format!("python3 -c 'import socket; socket.socket(socket.{family}, socket.SOCK_STREAM)'");
        let text = shell(&mut terminal, &socket).await.text;
        assert!(text.contains("PermissionError"), "{family}: {text}");
    }
    if cfg!(target_arch = "x86_64") {
        // The second table of system calls is closed, also where a kernel has it: refused, not unknown.
        let by_another = "python3 -c \"import ctypes as c; f = c.CDLL(None, use_errno=True).syscall; \
                          print(f(0x40000000 + 39), c.get_errno())\"";
        assert_eq!(shell(&mut terminal, by_another).await.text, "result: -1 1\n");
    }
    // Whom it can signal are its own.
    let mut bystander = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    shell(&mut terminal, "kill -9 -1").await;
    assert_eq!(terminal.asks("hello").await.text, "all right");
    assert!(bystander.try_wait().unwrap().is_none(), "it runs on");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    // A link out of the folder leads nowhere, inside and outside.
    std::fs::write(folder.path().join("secret"), "canary").unwrap();
    let secret = folder.path().join("secret").display().to_string();
    let linked = shell(&mut terminal, &format!("ln -s {secret} out; ln -s / root; ls; cat out")).await;
    assert!(linked.text.contains("No such file"), "{}", linked.text);
    for path in ["out", "root/etc/passwd", "../../x", "/etc/passwd", "C:\\\\x", "\\\\\\\\host\\\\share"] {
        let read = terminal.asks(&format!(r#"call read_file {{"path": "{path}"}}"#)).await;
        assert!(read.text.starts_with("result: error: "), "{path}: {}", read.text);
        let wrote = terminal.asks(&format!(r#"call write_file {{"path": "{path}/a", "content": "x"}}"#)).await;
        assert!(wrote.text.starts_with("result: error: "), "{path}: {}", wrote.text);
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("secret")).unwrap(), "canary");
    assert!(sandbox.logs().iter().all(|(_, log)| !log.contains("canary")), "nor in a log");
}

/// What wants more than it may have, and what is said of it with 64 MB of memory and files of 4 MB.
pub(crate) const EXCESSES: &[(&str, &str)] = &[
    (
        "python3 -c \"import os, time\nn = 0\ntry:\n  while n < 999:\n    n += 1\n    if os.fork() == 0: time.sleep(60)\nexcept OSError: print('no more')\"",
        "no more",
    ),
    ("python3 -c \"x = bytearray(1 << 30)\"", "killed: more than 64 MB of memory"),
    (
        "python3 -c \"b = b'x' * (1 << 20)\nwith open('big', 'wb') as f:\n  for _ in range(100): f.write(b)\"",
        "File too large",
    ),
    ("yes", "more was printed, and dropped"),
];

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_nothing_is_left_behind() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let plan = plan(&model, folder.path()).set("CLARA_SANDBOX_FILE_MB", 4).set("CLARA_SANDBOX_CPU_PERCENT", 50);
    let sandbox = plan.set("CLARA_SANDBOX_FOLDER_MB", 60).start().await;
    let mut terminal = sandbox.terminal("main").await;
    shares_processors_out(&mut terminal).await;
    let own = [
        ("head -c 200000000 /dev/zero > /tmp/full", "it wrote a file of more than 4 MB"),
        ("sleep 60", "took longer than 5s"),
        (
            "mkdir fill; i=0; while :; do i=$((i+1)); head -c 3000000 /dev/zero > fill/f$i; sleep 0.02; done",
            "its folder came to hold more than 60 MB",
        ),
        // From outside too: without it nothing would run any more.
        ("echo still here", "holds more than 60 MB"),
    ];
    for (attempt, part) in EXCESSES.iter().chain(&own) {
        let reply = shell(&mut terminal, attempt).await;
        assert!(reply.text.contains(part), "{attempt}: {:.400}", reply.text);
    }
    let deleted = terminal.asks(r#"call delete_file {"path": "fill"}"#).await;
    assert!(deleted.text.contains("Deleted fill"), "{}", deleted.text);
    let reply = shell(&mut terminal, "(setsid sleep 4242 &) ; sleep 60").await;
    assert!(reply.text.contains("took longer than 5s"), "{:.400}", reply.text);
    assert!(terminal.asks("hello").await.text == "all right", "she is as she was");
    eventually("what it left behind is gone", async || (running("4242") == 0).then_some(())).await;
}

/// A command that prints what stands at an address.
pub(crate) fn asks(url: &str) -> String {
    format!("python3 -c \"import urllib.request as u; print(u.urlopen('{url}', timeout=20).read().decode())\"")
}

/// How many processes of this machine have this word in their command.
pub(crate) fn running(marker: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let says = |line: &Vec<u8>| String::from_utf8_lossy(line).split([' ', '\0']).any(|word| word == marker);
    lines.filter(says).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_every_process() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    // Its own limit is far away.
    let sandbox = plan(&model, folder.path()).set("CLARA_SANDBOX_SECONDS", 3000).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let message = terminal.says("shell sleep 5151 & sleep 5151").await;
    eventually("it runs", async || (running("5151") > 0).then_some(())).await;
    let stop = terminal.does(proto::terminal::Saying::Stop).await;
    let reply = terminal.reply_to(&message).await;
    assert!(reply.kind == ReplyKind::Stopped && reply.answers.contains(&stop), "{reply:?}");
    eventually("every process of it is gone", async || (running("5151") == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sandbox_that_holds_no_code_is_run() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let escaped = folder.path().join("should-not-be");
    let sandbox = plan(&model, folder.path()).set("SANDBOX_MODE", "incus-vm").start().await;
    let mut terminal = sandbox.terminal("main").await;
    let reply = terminal.asks(&format!("shell echo out > {}", escaped.display())).await;
    assert!(reply.text.contains("there is no tool `run_shell`") && !escaped.exists(), "{}", reply.text);
    let mut doctor = testkit::process::command("clara", sandbox.folder());
    let output = doctor.env("NATS_URL", sandbox.nats.url()).args(["doctor", "--json"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().find(|line| line.contains("\"sandbox\"")).unwrap();
    assert!(line.contains("warning") && line.contains("this build runs no virtual machines"), "{line}");
}

/// Attack S27: an archive that is more than it seems, or that leads out of the folder.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_stays_within_the_folder_and_within_limits() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let sandbox = plan(&model, folder.path()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    let make = "import zipfile\n\
                with zipfile.ZipFile('many.zip', 'w') as z:\n  for n in range(10001): z.writestr(f'm/{n}', '')\n\
                with zipfile.ZipFile('slip.zip', 'w') as z: z.writestr('../../slipped', 'x')\n\
                with zipfile.ZipFile('bomb.zip', 'w') as z: z.writestr('b', 'x')\n\
                b = bytearray(open('bomb.zip', 'rb').read())\n\
                at = b.index(b'PK\\x01\\x02') + 24\n\
                b[at:at + 4] = (600000000).to_bytes(4, 'little')\n\
                open('bomb.zip', 'wb').write(b)\nprint('made')";
    let made = terminal.asks(&format!("python {make}")).await;
    assert!(made.text.contains("made"), "{}", made.text);
    for (archive, says) in
        [("many.zip", "which is too much"), ("bomb.zip", "600000000 bytes"), ("slip.zip", "Unpacked 1")]
    {
        let reply = terminal.asks(&format!(r#"call unzip_file {{"path": "{archive}", "destination": "out"}}"#)).await;
        assert!(reply.text.contains(says), "{archive}: {}", reply.text);
    }
    let files = shell(&mut terminal, "find . -name slipped; ls out").await;
    assert!(files.text.contains("./out/slipped") && !files.text.contains("out/b"), "{}", files.text);
}

/// What a program did before its runner died is not done again unasked.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_runner_died_is_asked_about_and_not_run_again() {
    let (model, folder) = (obedient().await, tempfile::tempdir().unwrap());
    let plan = plan(&model, folder.path()).replicas(2).set("CLARA_SANDBOX_SECONDS", 600);
    let mut sandbox = plan.start().await;
    let mut terminal = sandbox.terminal("main").await;
    let message = terminal.says("shell echo once >> runs; sleep 6161").await;
    // The program itself, and not the shell or bubblewrap, which have it among their arguments.
    let sleeps = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let mut lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.any(|line| line == b"sleep\x006161\x00")
    };
    eventually("it has written, and sleeps", async || sleeps().then_some(())).await;
    for replica in 0..2 {
        sandbox.kill("tool-runner", replica);
        sandbox.start_service("tool-runner", replica);
    }
    let question = terminal.reply_to(&message).await;
    assert_eq!(question.kind, ReplyKind::Question, "{}", question.text);
    assert!(question.text.contains("`run_shell`") && question.text.contains("may or may not"), "{}", question.text);
    assert_eq!(terminal.asks("skip").await.kind, ReplyKind::Answered);
    eventually("it went with its runner", async || (running("6161") == 0).then_some(())).await;
    let runs = shell(&mut terminal, "cat runs").await;
    assert_eq!(runs.text.matches("once").count(), 1, "{}", runs.text);
}
