//! What groups spoke of: the newest sessions by themselves, the older ones folded into one
//! summary, which an erasure discards. On both databases.

use domain::memory::FactCommand;
use domain::message::Audience;
use store::Database;
use testkit::eventually;
use testkit::model::{Act, FakeModel};
use testkit::postgres::Postgres;
use testkit::sandbox::{Plan, Sandbox};

use crate::asking::{Group, ask, recall_in};

/// Lets half an hour of silence pass, and waits until what was said is summarised.
async fn falls_silent(database: &Database, sessions: usize) {
    eventually("the session is summarised", async || {
        database.execute("UPDATE sessions_to_summarize SET due_at = 0", &[]).await.unwrap();
        let sql = "SELECT id FROM sessions WHERE session_summary IS NOT NULL";
        let queues = "SELECT session_id AS id FROM sessions_to_summarize UNION ALL \
                      SELECT channel_id AS id FROM channels_to_summarize";
        let waiting = database.fetch(queues, &[]).await.unwrap();
        (waiting.is_empty() && database.fetch(sql, &[]).await.unwrap().len() == sessions).then_some(())
    })
    .await;
    // For everything that knows a time.
    for sql in [
        "UPDATE sessions SET last_activity_at = last_activity_at - 3600000, started_at = started_at - 3600000",
        "UPDATE channel_summaries SET summary_cutoff_at = summary_cutoff_at - 3600000",
    ] {
        database.execute(sql, &[]).await.unwrap();
    }
}

async fn check(plan: Plan, database: impl AsyncFnOnce(&Sandbox) -> Database) {
    let model = FakeModel::start(|_, _| Act::say("all right")).await;
    let plan = plan.set("MESSAGE_DEBOUNCE_SECONDS", 0).set("CLARA_LEARNING", "rules");
    let sandbox = plan.with(model.as_openai()).start().await;
    let bus = sandbox.bus().await;
    let database = database(&sandbox).await;
    let mut group = Group::join(&bus).await;
    let topics = ["We plan Lisbon", "We book Porto", "We rent a boat", "We sell the car", "We paint the fence"];
    for (number, topic) in topics.iter().enumerate() {
        group.says(&bus, "ann", topic, Vec::new()).await;
        group.hears().await;
        falls_silent(&database, number + 1).await;
    }
    let conversation = group.conversation.clone();
    let told = async || {
        let recalled = recall_in(&bus, &conversation, "ann", Audience::Group, "and now?").await;
        recalled.summaries
    };
    let quote = |topic: &str| format!("ann: “{topic}”");
    let folded = format!("{} {}", quote(topics[0]), quote(topics[1]));
    let expected: Vec<String> = std::iter::once(folded).chain(topics[2..].iter().map(|topic| quote(topic))).collect();
    eventually("what is old is folded", async || (told().await == expected).then_some(())).await;

    // Somebody else's words stay; hers are nowhere.
    group.says(&bus, "bob", "I stay at home", Vec::new()).await;
    group.hears().await;
    falls_silent(&database, 6).await;
    let proof = ask(&bus, "ann", FactCommand::Clear).await.unwrap().proof;
    assert!(proof.iter().any(|searched| searched.store == "channel_summaries"), "{proof:?}");
    assert!(proof.iter().all(|searched| searched.found == 0), "{proof:?}");
    let expected = [quote("I stay at home").replace("ann", "bob")];
    eventually("nothing of hers is told", async || (told().await == expected).then_some(())).await;
    assert!(database.fetch("SELECT channel_id FROM channel_summaries", &[]).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_long_ago_is_one_summary_on_sqlite() {
    check(Sandbox::plan(), async |sandbox| {
        Database::sqlite(&sandbox.folder().join("data/memory.sqlite")).await.unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_long_ago_is_one_summary_on_postgres() {
    let postgres = Postgres::start();
    let url = postgres.url();
    let open = async |_: &Sandbox| Database::postgres(&postgres.url()).await.unwrap();
    check(Sandbox::plan().set("DATABASE_URL", url), open).await;
}
