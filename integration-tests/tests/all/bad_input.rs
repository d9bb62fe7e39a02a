//! What is refused, and how: every word says what to do, and nothing is lost.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use domain::turn::ReplyKind;
use proto::terminal::{Said, Saying};
use testkit::nats::Nats;
use testkit::process::command;
use testkit::sandbox::Sandbox;

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_cannot_be_messages_are_refused_and_the_rest_goes_on() {
    let sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    for (text, part) in [
        (String::new(), "empty"),
        (" \n\t ".into(), "empty"),
        ("\u{7}\u{1b}".into(), "empty"),
        ("!high ".into(), "empty"),
        ("x".repeat(1 << 20), "the limit is 65536"),
    ] {
        match terminal.offer(&uuid::Uuid::now_v7().to_string(), Saying::text(text)).await {
            Said::Refused { because } => assert!(because.contains(part), "{because}"),
            Said::Accepted { .. } => panic!("{part} was accepted"),
        }
    }
    let reply = terminal.asks("say a\u{1b}[31mb\u{0}c").await;
    assert_eq!((reply.kind, reply.text.as_str()), (ReplyKind::Answered, "a[31mbc"));
    let reply = terminal.asks(&format!("say {}", "y".repeat(60_000))).await;
    assert_eq!(reply.text.len(), 60_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_on_the_bus_is_put_aside_and_the_partition_goes_on() {
    let sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    terminal.asks("say before").await;
    // Bytes that cannot be read, on the subject of this very conversation.
    let conversation = &terminal.conversation;
    let subject = format!("clara.v1.inbound.{}.{conversation}", conversation.partition());
    publish_raw(&sandbox.nats.url(), &subject, &[0xff; 4]);
    assert_eq!(terminal.asks("say after").await.text, "after");
    // The operator finds it, sends it again (it is put aside again), drops it.
    let url = sandbox.nats.url();
    let dead = |arguments: &[&str]| {
        let output = clara(sandbox.folder(), &[&["dead", "--json"], arguments].concat(), &[("NATS_URL", &url)]);
        let lines = String::from_utf8(output.stdout).unwrap();
        (
            output.status.success(),
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<serde_json::Value>>(),
        )
    };
    let listed = dead(&["list"]).1;
    assert_eq!((listed.len(), listed[0]["subject"].as_str()), (1, Some(subject.as_str())));
    assert!(listed[0]["reason"].as_str().unwrap().contains("protobuf"), "{listed:?}");
    let number = listed[0]["number"].as_u64().unwrap();
    assert_eq!(dead(&["show", &number.to_string()]).1[0]["bytes"], 4);
    assert!(dead(&["replay", &number.to_string()]).0);
    let again = testkit::eventually("it is put aside again", async || {
        let listed = dead(&["list"]).1;
        listed.first().and_then(|letter| letter["number"].as_u64()).filter(|again| *again != number)
    })
    .await;
    assert!(dead(&["drop", &again.to_string()]).0);
    assert!(dead(&["list"]).1.is_empty());
    assert!(!dead(&["drop", &again.to_string()]).0);
}

#[tokio::test(flavor = "multi_thread")]
async fn turn_that_is_put_aside_is_told_and_the_conversation_goes_on() {
    let mut sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    terminal.asks("say before").await;
    // The processor is away while the turn's request is replaced by poison.
    sandbox.kill("processor", 0);
    let message = terminal.says("say lost").await;
    let turn = domain::ids::TurnId::derive(&terminal.conversation, &message);
    let subject = format!("clara.v1.turn.prepare.{}", terminal.conversation);
    let headers = format!("NATS/1.0\r\nNats-Msg-Id: {turn}:prepare:poison\r\n\r\n");
    let mut bytes = headers.clone().into_bytes();
    bytes.extend([0xff; 4]);
    publish(&sandbox.nats.url(), &format!("HPUB {subject} {} {}", headers.len(), bytes.len()), &bytes);
    sandbox.start_service("processor", 1);
    // Both are there: the real request is answered, the poison is put aside,
    // and the person is told at most once.
    let reply = terminal.reply_to(&message).await;
    assert!(matches!(reply.kind, ReplyKind::Answered | ReplyKind::Failed), "{reply:?}");
    assert_eq!(terminal.asks("say after").await.text, "after");
}

/// Publishes bytes with the plain NATS protocol.
fn publish_raw(url: &str, subject: &str, bytes: &[u8]) {
    publish(url, &format!("PUB {subject} {}", bytes.len()), bytes);
}

fn publish(url: &str, command: &str, bytes: &[u8]) {
    use std::io::{BufRead, BufReader, Write};
    let mut socket = std::net::TcpStream::connect(url.trim_start_matches("nats://")).unwrap();
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    socket.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\n").unwrap();
    socket.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    socket.write_all(bytes).unwrap();
    socket.write_all(b"\r\nPING\r\n").unwrap();
    while !line.starts_with("PONG") {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
}

fn clara(folder: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    command("clara", folder).args(arguments).envs(settings.iter().copied()).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn check(output: &Output, status: i32, parts: &[&str]) {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{text}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}

#[test]
fn configuration_faults_come_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        ("LLM_PROVIDER", "oracle"),
        ("GATEWAY_MAX_TOOL_ITERATIONS", "0"),
        ("CLARA_HEALTH_ADDRESS", "here"),
        ("OPENROUTER_API_KEY", "sk-canary"),
    ];
    for arguments in [&["up"][..], &["config", "check"], &["serve", "router"]] {
        let output = clara(folder.path(), arguments, &settings);
        check(
            &output,
            78,
            &[
                "LLM_PROVIDER",
                "oracle",
                "anthropic",
                "GATEWAY_MAX_TOOL_ITERATIONS",
                "1 to 1000",
                "CLARA_HEALTH_ADDRESS",
            ],
        );
        assert!(!String::from_utf8_lossy(&output.stderr).contains("canary"));
    }
    let output = clara(folder.path(), &["config", "check"], &[("LLM_PROVIDER", "anthropic")]);
    check(&output, 78, &["ANTHROPIC_API_KEY", "LLM_PROVIDER=offline"]);
    let output = clara(folder.path(), &["config", "check"], &[("CLARA_DATA_DIRR", "/x")]);
    check(&output, 0, &["did you mean CLARA_DATA_DIR?"]);
}

#[test]
fn data_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let output = clara(folder.path(), &["up"], &[("CLARA_DATA_DIR", "file/below")]);
    check(&output, 1, &["cannot write to the data folder file/below", "CLARA_DATA_DIR"]);
}

#[test]
fn nats_server_that_is_missing_or_too_old_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = clara(folder.path(), &["up"], &[("PATH", "/nowhere")]);
    check(&output, 1, &["nats-server was not found", "CLARA_NATS_SERVER"]);
    let old = folder.path().join("old-nats");
    std::fs::write(&old, "#!/bin/sh\necho 'nats-server: v2.9.10'\n").unwrap();
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = clara(folder.path(), &["up"], &[("CLARA_NATS_SERVER", old.to_str().unwrap())]);
    check(&output, 1, &["2.9.10", "2.10 or newer"]);
}

#[test]
fn server_that_cannot_serve_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let plain = Nats::start_with("");
    let output = clara(folder.path(), &["serve", "router"], &[("NATS_URL", &plain.url())]);
    check(&output, 1, &["has no JetStream"]);
    let small = Nats::start_with("jetstream { {store} }\nmax_payload: 64KB\n");
    let output = clara(folder.path(), &["serve", "router"], &[("NATS_URL", &small.url())]);
    check(&output, 1, &["65536 bytes", "max_payload"]);
    let narrow = Nats::start_with("jetstream { {store}, max_file_store: 4GB }\nmax_payload: 8MB\n");
    let output = clara(folder.path(), &["serve", "router"], &[("NATS_URL", &narrow.url())]);
    check(&output, 1, &["7384 MB", "max_file_store"]);
    let settings = [("NATS_URL", "nats://127.0.0.1:9"), ("CLARA_NATS_WAIT_SECONDS", "0")];
    let output = clara(folder.path(), &["serve", "router"], &settings);
    check(&output, 1, &["no nats-server answers at nats://127.0.0.1:9", "NATS_URL"]);
}

#[test]
fn port_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output =
        clara(folder.path(), &["serve", "router"], &[("NATS_URL", &nats.url()), ("CLARA_HEALTH_ADDRESS", &address)]);
    check(&output, 1, &[&address, "CLARA_HEALTH_ADDRESS", "another process"]);
}

#[test]
fn database_that_is_damaged_or_newer_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::start();
    let file = folder.path().join("memory.sqlite");
    let damaged = "no database at all ".repeat(500);
    std::fs::write(&file, &damaged).unwrap();
    let settings = [("NATS_URL", nats.url()), ("CLARA_DATA_DIR", folder.path().display().to_string())];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let output = clara(folder.path(), &["serve", "memory"], &settings);
    check(&output, 1, &["memory.sqlite", "restored from a backup"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), damaged);

    // One that a newer build has migrated.
    std::fs::remove_file(&file).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let database = store::Database::sqlite(&file).await.unwrap();
        let future =
            store::Migration { version: 999, name: "future", sqlite: "CREATE TABLE future (id TEXT)", postgres: "" };
        database.migrate(&[future]).await.unwrap();
        database.close().await;
    });
    let output = clara(folder.path(), &["serve", "memory"], &settings);
    check(&output, 1, &["memory.sqlite", "schema 999", "newer Clara"]);
}
