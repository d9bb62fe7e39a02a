//! What was said long ago: it stands in the prompt, and nobody else finds it.

use std::time::Duration;

use bus::{Bus, Endpoints};
use domain::ids::{ConversationId, Place};
use domain::memory::{Passage, PassageRequest};
use domain::message::Principal;
use integration_tests::recall_eval::dataset::{Said, Sample, Session};
use integration_tests::recall_eval::ingest::ingest;
use store::Database;
use testkit::eventually;
use testkit::model::{Act, FakeModel};
use testkit::postgres::Postgres;
use testkit::sandbox::{Plan, Sandbox};

const PATIENCE: Duration = Duration::from_secs(10);

async fn find(bus: &Bus, user: &str, group: Option<&ConversationId>, query: &str) -> Vec<String> {
    let principal = Principal { user: user.into(), name: user.into(), tenant: "local".into() };
    let request = PassageRequest { principal, group: group.cloned(), query: query.to_owned(), limit: 5 };
    let found: Result<Vec<Passage>, _> = bus.request(Endpoints::MemoryPassages, &request, PATIENCE).await;
    found.unwrap_or_default().into_iter().map(|passage| passage.text).collect()
}

fn group(name: &str, said: &[(&str, &str)]) -> Sample {
    let said = said.iter().zip(1..).map(|((speaker, text), number)| Said {
        id: format!("D1:{number}"),
        speaker: (*speaker).to_owned(),
        text: (*text).to_owned(),
    });
    Sample {
        name: name.into(),
        speakers: ["Ann".into(), "Bob".into()],
        sessions: vec![Session { at_ms: 1_683_554_160_000, said: said.collect() }],
        questions: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_the_history_stands_in_the_prompt() {
    let model = FakeModel::start(|_, _| Act::say("all right")).await;
    let sandbox = Sandbox::plan().set("CLARA_HISTORY_MESSAGES", 2).with(model.as_openai()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    for text in ["my dog is called Biscuit", "lovely weather today", "I had soup for lunch", "what is my dog called?"] {
        terminal.asks(text).await;
    }
    // Another conversation of the same person knows it too.
    sandbox.terminal("other").await.asks("how is my dog?").await;
    let asked = model.asked();
    let prompts: Vec<String> = asked.iter().map(|asked| asked.body.to_string()).collect();
    let holds =
        |prompt: &String| prompt.contains("FROM EARLIER CONVERSATIONS") && prompt.contains("my dog is called Biscuit");
    let held: Vec<bool> = prompts.iter().map(holds).collect();
    assert_eq!(held, [false, false, true, true, true], "{prompts:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_finds_what_was_said_elsewhere() {
    let sandbox = Sandbox::start().await;
    let bus = sandbox.bus().await;
    let mut terminal = sandbox.terminal("main").await;
    let reply = terminal.asks("say my canary is zebra").await;
    eventually("the person finds it", async || {
        let found = find(&bus, "cli-user", None, "canary").await;
        found.iter().any(|text| text == "say my canary is zebra").then_some(())
    })
    .await;
    let of_ann = group("pets", &[("Ann", "My canary is green."), ("Bob", "Mine is a parrot.")]);
    ingest(&bus, &of_ann).await.unwrap();
    let channel =
        Place { platform: "eval".into(), tenant: "eval".into(), channel: "pets".into(), thread: String::new() };
    let pets = ConversationId::derive(&channel);

    let seen = find(&bus, "eval-bob", Some(&pets), "canary").await;
    assert_eq!(seen.first().map(String::as_str), Some("My canary is green."), "those who were there find it");
    assert!(seen.iter().all(|text| !text.contains("zebra")), "{seen:?}");
    for (user, group, why) in [
        ("eval-ann", None, "another person's own conversations"),
        ("cli-user", Some(&pets), "a group without the person"),
        ("cli-user", Some(&reply.conversation), "a direct conversation is no group"),
        ("eval-ann", Some(&reply.conversation), "nor one of others"),
    ] {
        let found = find(&bus, user, group, "canary").await;
        assert!(found.is_empty(), "{why}: {found:?}");
    }
    let own = find(&bus, "cli-user", None, "canary").await;
    assert!(own.iter().all(|text| !text.contains("green")), "a group's talk is not private: {own:?}");
}

/// A few things that Ann and Bob said, of which one is about a dog without the word.
fn of_a_puppy() -> (Sample, ConversationId) {
    let said = group(
        "pets",
        &[
            ("Ann", "The train was late again this morning, as it is on most days of the week."),
            ("Bob", "Our kitchen lamp broke, so dinner by candlelight it was."),
            ("Ann", "We adopted a puppy from the shelter."),
            ("Bob", "The meeting about the budget took three hours and nobody knew why it was held."),
        ],
    );
    let channel =
        Place { platform: "eval".into(), tenant: "eval".into(), channel: "pets".into(), thread: String::new() };
    (said, ConversationId::derive(&channel))
}

/// Where `./dev test` has put the model.
#[allow(clippy::disallowed_methods, reason = "a test's own setting, not the product's")]
pub(crate) fn model_folder() -> String {
    std::env::var("CLARA_TEST_EMBEDDING_FOLDER").expect("run the tests by `./dev test`")
}

async fn check_meaning(plan: Plan) {
    let sandbox = plan.only(&["memory"]).set("CLARA_EMBEDDING_FOLDER", model_folder()).start().await;
    let bus = sandbox.bus().await;
    let (said, pets) = of_a_puppy();
    ingest(&bus, &said).await.unwrap();
    eventually("it is embedded and found", async || {
        let found = find(&bus, "eval-ann", Some(&pets), "Is there a dog?").await;
        (found.first()? == "We adopted a puppy from the shelter.").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_in_other_words_is_found_by_its_meaning() {
    check_meaning(Sandbox::plan()).await;
    let (said, pets) = of_a_puppy();
    let words = Sandbox::plan().only(&["memory"]).start().await;
    ingest(&words.bus().await, &said).await.unwrap();
    let found = find(&words.bus().await, "eval-ann", Some(&pets), "Is there a dog?").await;
    assert_ne!(found.first().unwrap(), "We adopted a puppy from the shelter.", "no word of it is in the question");
}

#[tokio::test(flavor = "multi_thread")]
async fn meaning_is_kept_in_postgres() {
    let postgres = Postgres::start();
    check_meaning(Sandbox::plan().set("DATABASE_URL", postgres.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_embeds_everything_anew() {
    let mut sandbox = Sandbox::plan().only(&["memory"]).set("CLARA_EMBEDDING_FOLDER", model_folder()).start().await;
    ingest(&sandbox.bus().await, &of_a_puppy().0).await.unwrap();
    let database = Database::sqlite(&sandbox.folder().join("data/memory.sqlite")).await.unwrap();
    let embedded = async || {
        let sql = "SELECT m.id, v.model FROM messages m LEFT JOIN message_vectors v ON v.message_id = m.id \
                   WHERE m.kind IN ('said', 'answered') AND m.content <> ''";
        let rows = database.fetch(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.optional_text("model").unwrap()).collect::<Vec<_>>()
    };
    let all_by_one = async |but: &str| {
        let models = embedded().await;
        let first = models.first()?.clone().filter(|model| model != but)?;
        models.iter().all(|model| model.as_ref() == Some(&first)).then_some(first)
    };
    let before = eventually("everything is embedded", async || all_by_one("").await).await;
    // The same model but for one bit of one weight.
    let other = sandbox.folder().join("other-model");
    std::fs::create_dir(&other).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(std::path::Path::new(&model_folder()).join(file), other.join(file)).unwrap();
    }
    let mut weights = std::fs::read(other.join("model.safetensors")).unwrap();
    *weights.last_mut().unwrap() ^= 1;
    std::fs::write(other.join("model.safetensors"), weights).unwrap();
    sandbox.kill("memory", 0);
    let folder = other.display().to_string();
    sandbox.start_service_with("memory", 0, &[("CLARA_EMBEDDING_FOLDER", folder)]);
    eventually("everything is embedded by the other model", async || all_by_one(&before).await).await;
}
