//! What people have in a MyPalClara, brought in by the operator's command. Its tables are
//! as its documents name them.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use bus::Endpoints;
use domain::memory::{FactCommand, Passage, PassageRequest};
use serde_json::Value;
use store::{Database, Dialect};
use testkit::postgres::Postgres;
use testkit::process::command;
use testkit::qdrant::{FakeQdrant, KEY};
use testkit::sandbox::{Plan, Sandbox};

use crate::asking::{ask, list, principal};

const PATIENCE: Duration = Duration::from_secs(20);
const ANN: &str = "discord-42";
/// Ids of memories, as mem0 makes them.
const REX: &str = "8f1d7a52-6a63-4a51-9d3e-1f6f0f6b5c01";
const IDA: &str = "8f1d7a52-6a63-4a51-9d3e-1f6f0f6b5c02";
const OLD: &str = "8f1d7a52-6a63-4a51-9d3e-1f6f0f6b5c03";

/// What a MyPalClara has stored; types differ as its models make them differ.
async fn fill(database: &Database) {
    let (time, flag, yes, no) = match database.dialect() {
        Dialect::Sqlite => ("DATETIME", "INTEGER", "1", "0"),
        Dialect::Postgres => ("TIMESTAMP", "BOOLEAN", "TRUE", "FALSE"),
    };
    let tables = [
        "CREATE TABLE sessions (id VARCHAR PRIMARY KEY, project_id VARCHAR, user_id VARCHAR, context_id VARCHAR)".to_owned(),
        format!("CREATE TABLE messages (id INTEGER PRIMARY KEY, session_id VARCHAR, user_id VARCHAR, role VARCHAR, content TEXT, created_at {time})"),
        format!("CREATE TABLE memory_dynamics (memory_id VARCHAR PRIMARY KEY, user_id VARCHAR, stability DOUBLE PRECISION, difficulty DOUBLE PRECISION, retrieval_strength DOUBLE PRECISION, storage_strength DOUBLE PRECISION, is_key {flag}, category VARCHAR, last_accessed_at {time}, access_count INTEGER)"),
        format!("CREATE TABLE intentions (id VARCHAR PRIMARY KEY, user_id VARCHAR, agent_id VARCHAR, content TEXT, trigger_conditions TEXT, priority INTEGER, fired {flag}, fire_once {flag}, expires_at {time})"),
        "CREATE TABLE platform_links (canonical_user_id VARCHAR, platform VARCHAR, prefixed_user_id VARCHAR)".to_owned(),
        "INSERT INTO sessions VALUES ('s1', 'p', 'discord-42', 'dm-discord-42'), ('s2', 'p', 'discord-42', 'channel-9')".to_owned(),
        "INSERT INTO messages VALUES (1, 's1', 'discord-42', 'user', 'I planted a plum tree', '2025-03-01 10:00:00.5'), \
         (2, 's1', 'discord-42', 'assistant', 'How lovely!', '2025-03-01 10:00:05'), \
         (3, 's2', 'discord-42', 'user', 'in a channel', '2025-03-01 11:00:00')".to_owned(),
        format!("CREATE TABLE memory_history (id INTEGER PRIMARY KEY, memory_id VARCHAR, old_memory TEXT, new_memory TEXT, event VARCHAR, created_at {time})"),
        format!("CREATE TABLE memory_supersessions (id INTEGER PRIMARY KEY, old_memory_id VARCHAR, new_memory_id VARCHAR, user_id VARCHAR, reason TEXT, created_at {time})"),
        format!("INSERT INTO memory_history VALUES (1, '{REX}', NULL, 'Has a dog', 'ADD', '2025-02-01 09:00:00'), \
         (2, '{REX}', 'Has a dog', 'My dog is called Rex', 'UPDATE', '2025-02-02 09:00:00'), \
         (3, 'gone', 'a', 'b', 'UPDATE', '2025-02-02 09:00:00')"),
        format!("INSERT INTO memory_supersessions VALUES (1, '{OLD}', '{IDA}', 'discord-42', 'moved', '2025-02-03 09:00:00')"),
        format!("INSERT INTO memory_dynamics VALUES ('{REX}', 'discord-42', 30.0, 4.0, 0.9, 0.8, {yes}, 'personal', '2025-04-01 00:00:00', 7), \
         ('gone', 'discord-42', 1.0, 5.0, 1.0, 0.5, {no}, NULL, '2025-04-01 00:00:00', 0)"),
        format!("INSERT INTO intentions VALUES ('i1', 'discord-42', 'clara', 'Ask about the plums', '{{\"type\": \"keyword\", \"keywords\": [\"plum\"]}}', 5, {no}, {yes}, NULL), \
         ('i2', 'discord-42', 'clara', 'over', '{{\"type\": \"keyword\", \"keywords\": [\"x\"]}}', 5, {yes}, {yes}, NULL), \
         ('i3', 'discord-42', 'clara', 'strange', '{{\"type\": \"smell\"}}', 5, {no}, {yes}, NULL)"),
        "INSERT INTO platform_links VALUES ('c1', 'discord', 'discord-42'), ('c1', 'cli', 'cli-ann'), ('c2', 'cli', 'cli-bob')".to_owned(),
    ];
    for sql in tables {
        database.execute(&sql, &[]).await.unwrap();
    }
}

fn payloads() -> [(&'static str, Value); 4] {
    let of = |text: &str| serde_json::json!({"data": text, "user_id": ANN, "hash": "x", "created_at": "2025-02-01T08:00:00-08:00"});
    let mut public = of("My sister Ida lives in Rome");
    public["visibility"] = "public".into();
    [
        (REX, of("My dog is called Rex")),
        (IDA, public),
        (OLD, of("My sister Ida lives in Oslo")),
        ("3", serde_json::json!({"user_id": ANN})),
    ]
}

fn run(folder: &Path, settings: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut clara = command("clara", folder);
    clara.env("CLARA_DATA_DIR", folder.join("data")).env("QDRANT_API_KEY", KEY).envs(settings.iter().copied());
    clara.args(["import", "mypalclara", "--json"]).args(arguments).output().unwrap()
}

/// Brings everything in, twice, and looks at it from another account of the same person.
async fn check(plan: Plan, target: &[(&str, &str)], arguments: &[&str]) {
    let sandbox = plan.only(&["memory"]).start().await;
    let run = |more: &[&str]| {
        let output = run(sandbox.folder(), target, &[arguments, more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let counts = |line: &Value| {
        ["memories", "messages", "reminders", "linked_accounts", "changes", "known"]
            .map(|name| line[name].as_u64().unwrap())
    };
    let dry = run(&[]);
    assert_eq!((counts(&dry), &dry["applied"]), ([3, 2, 2, 2, 3, 0], &false.into()), "{dry}");
    let bus = sandbox.bus().await;
    assert!(
        ask(&bus, ANN, FactCommand::Stats).await.unwrap().counts.iter().all(|count| count.value == 0),
        "it was a dry run"
    );

    let first = run(&["--apply"]);
    assert_eq!(counts(&first), [3, 2, 1, 1, 2, 0], "{first}");
    let left_out = first["left_out"].as_object().unwrap();
    assert_eq!(
        left_out.len(),
        5,
        "a channel, a memory without text, dynamics alone, a change of one, a trigger: {left_out:?}"
    );
    assert_eq!(counts(&run(&["--apply"])), [0, 0, 0, 0, 0, 8], "nothing comes twice");

    let known = list(&bus, "cli-ann").await;
    let seen: Vec<_> =
        known.iter().map(|fact| (fact.id.as_str(), fact.text.as_str(), fact.is_key, fact.is_public)).collect();
    assert_eq!(seen, [(IDA, "My sister Ida lives in Rome", false, true), (REX, "My dog is called Rex", true, false)]);
    assert_eq!((known[1].category.as_str(), known[1].created_at_ms), ("personal", 1_738_425_600_000));
    let story = ask(&bus, "cli-ann", FactCommand::Show { id: REX.into() }).await.unwrap().changes;
    let changed = story.iter().find(|change| change.event == "UPDATE").unwrap();
    assert_eq!((changed.old.as_str(), changed.at_ms), ("Has a dog", 1_738_486_800_000));
    let story = ask(&bus, "cli-ann", FactCommand::Show { id: OLD.into() }).await.unwrap().changes;
    assert!(story.iter().any(|change| change.event == "SUPERSEDE" && change.new == "My sister Ida lives in Rome"));
    let waiting = ask(&bus, "cli-ann", FactCommand::Intentions).await.unwrap().intentions;
    assert_eq!(waiting.iter().map(|waiting| waiting.content.as_str()).collect::<Vec<_>>(), ["Ask about the plums"]);
    let request = PassageRequest {
        principal: principal("cli-ann"),
        group: None,
        query: "Which tree did I plant?".into(),
        limit: 5,
    };
    let said: Vec<Passage> = bus.request(Endpoints::MemoryPassages, &request, PATIENCE).await.unwrap();
    assert_eq!((said[0].text.as_str(), said[0].at_ms), ("I planted a plum tree", 1_740_823_200_500));
    assert!(list(&bus, "cli-bob").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mypalclara_on_sqlite_and_qdrant_is_brought_in() {
    let (folder, qdrant) = (tempfile::tempdir().unwrap(), FakeQdrant::start().await);
    let file = folder.path().join("assistant.db");
    let database = Database::sqlite(&file).await.unwrap();
    fill(&database).await;
    database.close().await;
    qdrant.put("clara_memories", &payloads());
    let (file, url) = (file.display().to_string(), qdrant.url());
    check(Sandbox::plan(), &[], &["--database", &file, "--qdrant", &url]).await;
    let refused = run(folder.path(), &[], &["--database", "/no/such/file"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("/no/such/file is no file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mypalclara_on_postgres_with_pgvector_is_brought_in() {
    let (theirs, ours) = (Postgres::start(), Postgres::start());
    let database = Database::postgres(&theirs.url()).await.unwrap();
    fill(&database).await;
    for sql in [
        "CREATE EXTENSION IF NOT EXISTS vector",
        "CREATE TABLE clara_memories (id TEXT PRIMARY KEY, vector vector(3), payload JSONB)",
    ] {
        database.execute(sql, &[]).await.unwrap();
    }
    for (id, payload) in payloads() {
        let sql = "INSERT INTO clara_memories (id, vector, payload) VALUES ($1, '[1,2,3]', ($2)::jsonb)";
        database.execute(sql, &[id.into(), payload.to_string().into()]).await.unwrap();
    }
    let (url, ours) = (theirs.url(), ours.url());
    let plan = Sandbox::plan().set("DATABASE_URL", &ours);
    check(plan, &[("DATABASE_URL", &ours)], &["--database", &url, "--pgvector", &url]).await;
}
