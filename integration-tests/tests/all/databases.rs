//! The memory service on both databases: the same tests.

use bus::Bus;
use domain::memory::{Fact, FactCommand};
use domain::turn::{Reply, ReplyKind};
use store::Database;
use testkit::eventually;
use testkit::postgres::Postgres;
use testkit::sandbox::{Plan, Sandbox};

use crate::asking::ask;

async fn facts(bus: &Bus, user: &str, command: FactCommand) -> Result<Vec<Fact>, String> {
    Ok(ask(bus, user, command).await?.facts)
}

fn texts(facts: &[Fact]) -> Vec<&str> {
    facts.iter().map(|fact| fact.text.as_str()).collect()
}

async fn check(plan: Plan) {
    let mut sandbox = plan.replicas(2).start().await;
    let bus = sandbox.bus().await;
    let remember = |id: &str, text: &str| FactCommand::Remember {
        id: id.into(),
        text: text.into(),
        is_key: false,
        project: String::new(),
    };
    let search = |query: &str| FactCommand::Search { query: query.into(), limit: 10 };
    let list = || FactCommand::List { limit: 10, before: None, project: String::new() };

    facts(&bus, "ann", remember("1", "Ann likes running in the morning")).await.unwrap();
    facts(&bus, "ann", remember("1", "Ann likes running in the morning")).await.unwrap();
    facts(&bus, "ann", remember("2", "The cat is called Müller")).await.unwrap();
    facts(&bus, "ann", remember("3", "The cat is called Müller")).await.unwrap();
    facts(&bus, "bob", remember("4", "Bob's cat is called Tom")).await.unwrap();
    assert_eq!(facts(&bus, "ann", list()).await.unwrap().len(), 2, "the same again is one memory");

    // Stems match; other people's memories do not.
    assert_eq!(texts(&facts(&bus, "ann", search("do I run?")).await.unwrap()), ["Ann likes running in the morning"]);
    assert_eq!(
        texts(&facts(&bus, "ann", search("what is my cat called?")).await.unwrap()),
        ["The cat is called Müller"]
    );
    for strange in ["", "'; DROP TABLE facts; --", "\" OR *", "!!! & | ( )", "müller's :* <->", "\0"] {
        facts(&bus, "ann", search(strange)).await.unwrap();
    }
    let refused = facts(&bus, "ann", remember("5", &"x".repeat(5000))).await.unwrap_err();
    assert!(refused.contains("between 1 and 4096 bytes"), "{refused}");

    // Nobody forgets for another, and a vague word takes nothing with it.
    let forget = |which: &str| FactCommand::Forget { which: which.into() };
    assert!(facts(&bus, "bob", forget("2")).await.unwrap().is_empty());
    assert!(facts(&bus, "ann", forget("cat morning")).await.unwrap().is_empty());
    assert_eq!(texts(&facts(&bus, "ann", forget("cat")).await.unwrap()), ["The cat is called Müller"]);
    assert!(facts(&bus, "ann", search("cat")).await.unwrap().is_empty());

    // What was said and answered is there after a restart, in order.
    let mut terminal = sandbox.terminal("main").await;
    terminal.asks("say one").await;
    terminal.asks("say two").await;
    for replica in [0, 1] {
        sandbox.kill("memory", replica);
        sandbox.start_service("memory", replica);
    }
    sandbox.ready(2).await;
    let reply = terminal.asks("what did I say before?").await;
    assert_eq!(reply.text, "Before this you said: “say two”");
    assert_eq!(facts(&bus, "ann", list()).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_on_sqlite() {
    check(Sandbox::plan()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_on_postgres() {
    let postgres = Postgres::start();
    check(Sandbox::plan().set("DATABASE_URL", postgres.url())).await;
}

/// What was erased may stand in the prompts of turns since: their journals go too, when
/// these turns have surely ended.
async fn check_prompts(mut sandbox: Sandbox, database: Database) {
    let (bus, mut terminal) = (sandbox.bus().await, sandbox.terminal("main").await);
    let before = terminal.asks("say before").await;
    terminal.asks("remember that my boat is called Wombatfig").await;
    let after = terminal.asks("say after").await;
    let asking = terminal.asks("call memory_clear with {}").await;
    assert_eq!(asking.kind, ReplyKind::Question, "{}", asking.text);
    eventually("all is stored", async || {
        let of = "SELECT turn_id FROM messages WHERE turn_id = $1";
        let found = database.fetch(of, &[asking.turn.to_string().into()]).await.unwrap();
        (!found.is_empty()).then_some(())
    })
    .await;
    let forgotten = ask(&bus, "cli-user", FactCommand::Forget { which: "Wombatfig".into() }).await.unwrap();
    assert_eq!((forgotten.facts.len(), forgotten.counts[1].value), (1, 2), "{forgotten:?}");
    let journals = bus.journals().await.unwrap();
    let records = async |of: &Reply| journals.records(&of.conversation, of.turn).await.unwrap().len();
    assert!(records(&after).await > 0, "it may still be running");

    let mut look_again = async || {
        database.execute("UPDATE journals_to_purge SET erased_at = 0", &[]).await.unwrap();
        sandbox.kill("memory", 0);
        sandbox.start_service("memory", 0);
    };
    let waits = async || database.fetch("SELECT turn_id FROM journals_to_purge", &[]).await.unwrap().len();
    look_again().await;
    eventually("its journal is gone", async || (records(&after).await == 0 && waits().await == 1).then_some(())).await;
    assert!(records(&asking).await > 0, "an answer to its question goes on with it");
    terminal.asks("no").await;
    look_again().await;
    eventually("it is done with", async || (records(&asking).await == 0 && waits().await == 0).then_some(())).await;
    assert!(records(&before).await > 0, "what came before cannot hold it");
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_go_after_an_erasure_on_sqlite() {
    let sandbox = Sandbox::start().await;
    let database = Database::sqlite(&sandbox.folder().join("data/memory.sqlite")).await.unwrap();
    check_prompts(sandbox, database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_go_after_an_erasure_on_postgres() {
    let postgres = Postgres::start();
    let sandbox = Sandbox::plan().set("DATABASE_URL", postgres.url()).start().await;
    let database = Database::postgres(&postgres.url()).await.unwrap();
    check_prompts(sandbox, database).await;
}

/// Sessions end after half an hour and link to the last; the database itself is
/// asked, because no reply shows it yet.
async fn check_sessions(sandbox: Sandbox, database: Database) {
    let mut terminal = sandbox.terminal("main").await;
    let number = async |sql: &str| database.fetch(sql, &[]).await.unwrap()[0].integer("n").unwrap();
    terminal.asks("say one").await;
    terminal.asks("say two").await;
    eventually("both exchanges are in one session", async || {
        let messages = number("SELECT COUNT(*) AS n FROM messages").await;
        (messages == 4 && number("SELECT COUNT(DISTINCT session_id) AS n FROM messages").await == 1).then_some(())
    })
    .await;
    database.execute("UPDATE sessions SET last_activity_at = last_activity_at - 31 * 60 * 1000", &[]).await.unwrap();
    terminal.asks("say three").await;
    eventually("a new session is linked to the first", async || {
        let linked = "SELECT COUNT(*) AS n FROM sessions s JOIN sessions p ON p.id = s.previous_session_id";
        (number(linked).await == 1 && number("SELECT COUNT(*) AS n FROM sessions").await == 2).then_some(())
    })
    .await;
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_on_sqlite() {
    let sandbox = Sandbox::start().await;
    let database = Database::sqlite(&sandbox.folder().join("data/memory.sqlite")).await.unwrap();
    check_sessions(sandbox, database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_on_postgres() {
    let postgres = Postgres::start();
    let sandbox = Sandbox::plan().set("DATABASE_URL", postgres.url()).start().await;
    let database = Database::postgres(&postgres.url()).await.unwrap();
    check_sessions(sandbox, database).await;
}
