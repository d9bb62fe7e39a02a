//! The clara command, as people and scripts use it.

use std::io::{BufRead, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use testkit::process::{Process, command};
use testkit::pty::Pty;
use testkit::sandbox::Sandbox;
use testkit::{DEADLINE, eventually};

/// The command in a data folder of its own.
fn clara(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = command("clara", folder);
    command.args(arguments).env("CLARA_DATA_DIR", folder.join("data")).env("CLARA_OFFLINE_WORD_MS", "0");
    command
}

fn run(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child =
        clara(folder, arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    text(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn scripts_talk_through_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Nothing runs yet: the first chat starts everything.
    let output = run(folder, &["chat"], b"say one\n\nremember that tea is ready\nsay two\n");
    assert_eq!(
        text(&output),
        "one\nI will remember: tea is ready\ntwo\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success());

    // The second one joins, and sees one event a line.
    let output = run(folder, &["chat", "--json"], b"what did I say before?\n");
    let events = lines(&output);
    assert_eq!(events.first().unwrap()["event"], "accepted");
    let reply = events.last().unwrap();
    assert_eq!((reply["event"].as_str(), reply["kind"].as_str()), (Some("reply"), Some("answered")));
    assert_eq!(reply["text"], "Before this you said: “say two”");
    assert_eq!(reply["answers"][0], events[0]["message"]);
    let streamed: String =
        events.iter().filter(|event| event["event"] == "text").map(|event| event["text"].as_str().unwrap()).collect();
    assert_eq!(streamed, reply["text"].as_str().unwrap());

    // Bad lines are named, good ones are answered, and the status says so.
    let mut input = b"say a\n\xff\xfe\n".to_vec();
    input.extend(vec![b'x'; 1 << 20]);
    input.extend(b"\nsay b\n");
    let output = run(folder, &["chat"], &input);
    assert_eq!((text(&output).as_str(), output.status.code()), ("a\nb\n", Some(1)));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        errors.contains("line 2: it is not valid UTF-8") && errors.contains("line 3: the message has 1048576 bytes"),
        "{errors}"
    );

    // The operator looks in.
    let status = lines(&run(folder, &["status", "--json"], b"")).remove(0);
    assert_eq!((status["running"].as_bool(), status["services"]["router"].as_u64()), (Some(true), Some(1)));
    let turns = lines(&run(folder, &["turn", "list", "--json"], b""));
    assert_eq!(
        (turns.len(), turns[0]["asked"].as_str(), turns[0]["outcome"].as_str()),
        (6, Some("say b"), Some("answered"))
    );
    let shown = lines(&run(folder, &["turn", "show", "--json", turns[0]["turn"].as_str().unwrap()], b""));
    let entries: Vec<&str> = shown.iter().map(|line| line["entry"].as_str().unwrap()).collect();
    assert_eq!(entries, ["claimed", "context_fixed", "step_started", "model_answered", "reply_ready"]);
    let facts = lines(&run(folder, &["memory", "list", "--json"], b""));
    assert_eq!((facts.len(), facts[0]["text"].as_str()), (1, Some("tea is ready")));
    assert!(run(folder, &["memory", "remember", "milk", "is", "out"], b"").status.success());
    assert!(text(&run(folder, &["memory", "list", "milk"], b"")).contains("milk is out"));
    assert!(run(folder, &["memory", "forget", "milk"], b"").status.success());
    assert_eq!(run(folder, &["memory", "forget", "milk"], b"").status.code(), Some(1));
    let doctor = lines(&run(folder, &["doctor", "--json"], b""));
    assert!(doctor.iter().all(|line| line["result"] != "bad"), "{doctor:?}");

    // A stopped Clara keeps everything.
    assert!(run(folder, &["down"], b"").status.success());
    assert_eq!(lines(&run(folder, &["status", "--json"], b""))[0]["running"], false);
    let output = run(folder, &["chat"], b"what did I say before?\nis the tea ready?\n");
    assert!(text(&output).starts_with("Before this you said: “say b”\n"), "{}", text(&output));
    assert!(text(&output).contains("- tea is ready"), "{}", text(&output));

    // Files go with the next message, and with no other.
    let (plan, list) = (folder.join("plan.txt"), folder.join("list.txt"));
    std::fs::write(&plan, "a plan").unwrap();
    std::fs::write(&list, "a list").unwrap();
    let typed = format!(
        "look\n!attach {}\n!attach /no/such/file\n!attach {}\n\nsay b\nlook\n",
        list.display(),
        folder.display()
    );
    let output = run(folder, &["chat", "--attach", plan.to_str().unwrap()], typed.as_bytes());
    let (said, errors) = (text(&output), String::from_utf8_lossy(&output.stderr).into_owned());
    let ends = |name: &str| said.matches(&format!("--- End of {name} ---")).count();
    assert_eq!((ends("plan.txt"), ends("list.txt"), output.status.code()), (1, 0, Some(1)), "{said}");
    assert!(said.contains("[attached: list.txt, text, 6 bytes] It goes with your next message."), "{said}");
    assert!(errors.contains("line 3: /no/such/file cannot be read") && errors.contains("it is not a file"), "{errors}");
    let missing = run(folder, &["chat", "--attach", "/no/such/file"], b"say c\n");
    assert_eq!((text(&missing).as_str(), missing.status.code()), ("", Some(1)));
    run(folder, &["down"], b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn up_says_when_it_is_ready_and_stops_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let mut up = Process::start("up", clara(folder.path(), &["up", "--json"]), folder.path().join("up.log"));
    let ready = |log: &str| {
        log.lines()
            .find_map(|line| serde_json::from_str::<Value>(line).ok().filter(|line| line["nats_url"].is_string()))
    };
    let ready = eventually("the readiness line", async || ready(&up.log())).await;
    assert_eq!(get(&ready, "readyz"), "200");
    assert_eq!(get(&ready, "livez"), "200");
    // A second one in the same folder refuses, and says why.
    let second = clara(folder.path(), &["up"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("runs in"), "{second:?}");
    up.signal(rustix::process::Signal::TERM);
    let status = up.ended(DEADLINE).await;
    assert!(status.success(), "{status:?}");
    let nats = ready["nats_url"].as_str().unwrap().trim_start_matches("nats://");
    assert!(std::net::TcpStream::connect(nats).is_err(), "its nats-server has stopped too");
}

/// The status of a probe.
fn get(ready: &Value, probe: &str) -> String {
    use std::io::Read;
    let address = ready["health"].as_str().unwrap().trim_start_matches("http://");
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    write!(socket, "GET /{probe} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_clara_is_started_again_and_the_answer_comes() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["chat"], b"say begin\n");
    let status = lines(&run(folder.path(), &["status", "--json"], b"")).remove(0);
    let mut chat =
        clara(folder.path(), &["chat", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    chat.stdin.take().unwrap().write_all(b"count to 30\n").unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(status["local"]["pid"].as_i64().unwrap()).unwrap()).unwrap();
    let events = tokio::task::spawn_blocking(move || {
        let mut killed = false;
        let mut events = Vec::new();
        for line in std::io::BufReader::new(chat.stdout.take().unwrap()).lines() {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if event["event"] == "text" && !std::mem::replace(&mut killed, true) {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            }
            events.push(event);
        }
        assert!(killed && chat.wait().unwrap().success(), "{events:?}");
        events
    });
    let events = events.await.unwrap();
    let replies: Vec<&Value> = events.iter().filter(|event| event["event"] == "reply").collect();
    assert_eq!(replies.len(), 1, "{events:?}");
    assert!(replies[0]["text"].as_str().unwrap().ends_with("28 29 30"), "{replies:?}");
    assert!(events.iter().any(|event| event["event"] == "restart"), "the viewer is told that the text begins anew");
    run(folder.path(), &["down"], b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_talk_on_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = Pty::start(&clara(folder.path(), &["chat"]));
    one.sees("is here (model: offline)").await;
    one.sees("you>").await;
    one.types("say first light\r");
    one.sees("first light").await;
    one.types("!help\r");
    one.sees("Ctrl-C    stops the answer").await;
    one.types("!status\r");
    one.sees("Clara is running on").await;
    one.types("call calculate with {\"expression\": \"6*7\"}\r");
    one.sees("6*7 = 42").await;
    // Ctrl-C stops the answer, and the conversation goes on.
    one.types("count to 2000\r");
    one.sees("Counting: 1 2 3").await;
    one.types("\u{3}");
    one.sees("Stopped.").await;
    // A second terminal of the same conversation hears what is answered here.
    let mut two = Pty::start(&clara(folder.path(), &["chat"]));
    two.sees("you>").await;
    one.types("say to both\r");
    one.sees("to both").await;
    two.sees("to both").await;
    // A second Ctrl-C leaves.
    two.types("count to 2000\r");
    two.sees("Counting: 1 2 3").await;
    two.types("\u{3}");
    two.sees("Stopped.").await;
    two.sees("you>").await;
    two.types("\u{3}");
    two.sees("Goodbye").await;
    assert!(two.ends().await);
    one.types("!clear\r");
    one.sees("We start afresh").await;
    one.types("\u{4}");
    one.sees("Goodbye").await;
    assert!(one.ends().await);
    let history = std::fs::read_to_string(folder.path().join("data/chat_history")).unwrap();
    assert!(history.contains("say first light") && history.contains("count to 2000"), "{history}");
    run(folder.path(), &["down"], b"");
}

#[test]
fn help_teaches_and_completions_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let help = text(&run(folder.path(), &["--help"], b""));
    for command in ["chat", "up", "serve", "status", "doctor", "config", "turn", "memory", "completions", "Examples:"] {
        assert!(help.contains(command), "{help}");
    }
    assert!(text(&run(folder.path(), &["completions", "bash"], b"")).contains("_clara"));
    // A reader that has seen enough is no fault.
    let many = "for n in 1 2 3; do \"$0\" config show; done | head -n 1";
    let piped =
        std::process::Command::new("sh").args(["-c", many]).arg(testkit::process::program("clara")).output().unwrap();
    assert!(!String::from_utf8_lossy(&piped.stderr).contains("panicked"), "{piped:?}");
    let shown = lines(&run(folder.path(), &["config", "show", "--json"], b""));
    assert!(shown.iter().any(|line| line["name"] == "CLARA_DATA_DIR" && line["origin"] == "environment"));
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_tells_how_durable_a_server_really_is() {
    for (jetstream, grade, part) in [
        ("sync_interval: always", "ok", "by the server's own word"),
        ("sync_interval: \"30s\"", "warning", "up to 30s later"),
    ] {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let configuration =
            format!("jetstream {{ {{store}}, {jetstream} }}\nmax_payload: 8MB\nhttp: \"127.0.0.1:{port}\"\n");
        let sandbox = Sandbox::plan().only(&["memory"]).server(&configuration).start().await;
        let doctor = |monitoring: &str| {
            let mut clara = command("clara", sandbox.folder());
            clara.env("NATS_URL", sandbox.nats.url()).env("NATS_MONITORING_URL", monitoring);
            let output = clara.args(["doctor", "--json"]).output().unwrap();
            let lines = String::from_utf8(output.stdout).unwrap();
            let mut lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines.find(|line| line["check"] == "durability").unwrap()
        };
        let said = doctor(&format!("http://127.0.0.1:{port}"));
        assert_eq!(said["result"], grade, "{said}");
        assert!(said["words"].as_str().unwrap().contains(part), "{said}");
        // Whoever names another port is told so.
        let said = doctor(&sandbox.nats.url().replace("nats://", "http://"));
        assert!(said["words"].as_str().unwrap().contains("tells nothing"), "{said}");
    }
}
