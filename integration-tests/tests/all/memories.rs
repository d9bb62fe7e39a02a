//! What is learnt from conversations, what becomes of it, and and who sees it.

use domain::memory::{FactAnswer, FactCommand, Intention};
use domain::message::Audience;
use domain::turn::ReplyKind;
use store::Database;
use testkit::eventually;
use testkit::model::{Act, FakeModel};
use testkit::postgres::Postgres;
use testkit::sandbox::{Plan, Sandbox};

use crate::asking::{self, ANN, ask, known, texts, told};

/// Learnt with its source, superseded with a history, undone, and changed by hand.
async fn check_story(plan: Plan) {
    let sandbox = plan.replicas(2).start().await;
    let bus = sandbox.bus().await;
    let mut terminal = sandbox.terminal("main").await;
    terminal.asks("Hello! My dog is called Rex. What is a dog?").await;
    let rex = known(&bus, ANN, &["My dog is called Rex"]).await.remove(0);
    let story = ask(&bus, ANN, FactCommand::Show { id: rex.clone() }).await.unwrap();
    let said: Vec<_> = story.sources.iter().map(|said| said.text.as_str()).collect();
    assert_eq!(said, ["Hello! My dog is called Rex. What is a dog?"], "it says where it is from");
    assert_eq!((story.facts[0].category.as_str(), story.facts[0].confidence), ("personal", 85));

    terminal.asks("my dog is called Max").await;
    let max = known(&bus, ANN, &["my dog is called Max"]).await.remove(0);
    let story = ask(&bus, ANN, FactCommand::Show { id: rex.clone() }).await.unwrap();
    let events: Vec<_> = story.changes.iter().map(|change| (change.event.as_str(), change.reason.as_str())).collect();
    assert_eq!(events, [("ADD", "learnt"), ("SUPERSEDE", "value")]);

    ask(&bus, ANN, FactCommand::Undo { id: rex.clone() }).await.unwrap();
    known(&bus, ANN, &["my dog is called Max", "My dog is called Rex"]).await;
    ask(&bus, ANN, FactCommand::Edit { id: max.clone(), text: "My cat is called Max".into() }).await.unwrap();
    known(&bus, ANN, &["My cat is called Max", "My dog is called Rex"]).await;
    assert_eq!(told(&bus, ANN, Audience::Direct, "cat?").await.first().unwrap(), "My cat is called Max");
    ask(&bus, ANN, FactCommand::Undo { id: max.clone() }).await.unwrap();
    known(&bus, ANN, &["my dog is called Max", "My dog is called Rex"]).await;

    // Whose memory it is, is checked for everything.
    let forget = FactCommand::Forget { which: rex.clone() };
    for command in [
        FactCommand::Show { id: rex.clone() },
        FactCommand::Edit { id: rex.clone(), text: "x".into() },
        FactCommand::Mark { id: rex.clone(), is_key: None, is_public: Some(true), project: None },
        FactCommand::Undo { id: rex.clone() },
    ] {
        let refused = ask(&bus, "bob", command.clone()).await;
        assert!(refused.is_err(), "{command:?}: {refused:?}");
    }
    assert_eq!(ask(&bus, "bob", forget).await.unwrap(), FactAnswer::default());
    known(&bus, ANN, &["my dog is called Max", "My dog is called Rex"]).await;

    // What the databases do in their own ways is asked of both.
    let mark = FactCommand::Mark { id: rex.clone(), is_key: Some(true), is_public: None, project: None };
    let marked = ask(&bus, ANN, mark).await.unwrap().facts.remove(0);
    assert_eq!((marked.is_key, marked.is_public), (true, false));
    let relations = ask(&bus, ANN, FactCommand::Reindex).await.unwrap().counts;
    assert_eq!(relations.iter().find(|count| count.name == "relations").unwrap().value, 2);
    let trigger = r#"{"type": "topic", "topic": "dogs"}"#.to_owned();
    let (id, content) = ("1".to_owned(), "Buy a lead".to_owned());
    let intention = Intention { id, content, trigger, priority: 0, fires_once: true, expires_at_ms: 0 };
    ask(&bus, ANN, FactCommand::Intend { intention }).await.unwrap();
    terminal.asks("what do dogs eat?").await;
    eventually("the reminder has fired", async || {
        ask(&bus, ANN, FactCommand::Intentions).await.unwrap().intentions.is_empty().then_some(())
    })
    .await;
    let forgotten = ask(&bus, ANN, FactCommand::Forget { which: max }).await.unwrap();
    assert!(forgotten.proof.iter().all(|searched| searched.found == 0), "{forgotten:?}");
    known(&bus, ANN, &["My dog is called Rex"]).await;
    let cleared = ask(&bus, ANN, FactCommand::Clear).await.unwrap();
    assert!(cleared.proof.iter().all(|searched| searched.found == 0), "{cleared:?}");
    assert!(told(&bus, ANN, Audience::Direct, "dog").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn story_of_a_memory_on_sqlite() {
    check_story(Sandbox::plan()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn story_of_a_memory_on_postgres() {
    let postgres = Postgres::start();
    check_story(Sandbox::plan().set("DATABASE_URL", postgres.url())).await;
}

/// What stands in a prompt or in an answer is not learnt again: of a hundred turns
/// that recall and repeat, nothing is left but what was said.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_turns_that_repeat_leave_no_junk() {
    // It answers with what it was told to remember, as models do.
    let model =
        FakeModel::start(|_, _| Act::say("I remember: My dog is called Rex. I love hiking. I live in Rome.")).await;
    let sandbox = Sandbox::plan().with(model.as_openai()).start().await;
    let bus = sandbox.bus().await;
    let mut terminal = sandbox.terminal("main").await;
    terminal.asks("My dog is called Rex. I love hiking.").await;
    known(&bus, ANN, &["I love hiking", "My dog is called Rex"]).await;
    for turn in 0..99 {
        let said = match turn % 3 {
            0 => "what do you know about me?",
            1 => "My dog is called Rex!",
            _ => "You said: > I live in Rome\nI really love hiking.",
        };
        terminal.asks(said).await;
    }
    let statistics = async || {
        let counts = ask(&bus, ANN, FactCommand::Stats).await.unwrap().counts;
        let of = |name: &str| counts.iter().find(|count| count.name == name).unwrap().value;
        (of("memories"), of("turns to learn from"))
    };
    eventually("every turn was learnt from", async || (statistics().await.1 == 0).then_some(())).await;
    assert_eq!(texts(&bus, ANN).await, ["I love hiking", "My dog is called Rex"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_sees_what_is_public_and_nobody_sees_anothers() {
    let sandbox = Sandbox::start().await;
    let bus = sandbox.bus().await;
    let remember = async |user: &str, id: &str, text: &str, is_key: bool| {
        let command = FactCommand::Remember { id: id.into(), text: text.into(), is_key, project: String::new() };
        ask(&bus, user, command).await.unwrap().facts.remove(0).id
    };
    let canary = remember("ann", "1", "My canary is called Zebra", true).await;
    remember("ann", "2", "My parrot is called Lion", false).await;
    remember("bob", "3", "My canary is called Tiger", true).await;
    let seen = async |user: &str, audience| told(&bus, user, audience, "what is my canary called?").await;
    assert_eq!(seen("ann", Audience::Direct).await, ["My canary is called Zebra", "My parrot is called Lion"]);
    assert_eq!(seen("bob", Audience::Direct).await, ["My canary is called Tiger"]);
    // Private by default, key memories too; public by choice; and private again at once.
    assert_eq!(seen("ann", Audience::Group).await, [""; 0]);
    let public =
        |is_public| FactCommand::Mark { id: canary.clone(), is_key: None, is_public: Some(is_public), project: None };
    ask(&bus, "ann", public(true)).await.unwrap();
    assert_eq!(seen("ann", Audience::Group).await, ["My canary is called Zebra"]);
    ask(&bus, "ann", public(false)).await.unwrap();
    assert_eq!(seen("ann", Audience::Group).await, [""; 0]);
    assert_eq!(seen("bob", Audience::Group).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_finds_facts_that_rules_do_not_and_cannot_make_them_up() {
    let model = FakeModel::start(|asked, _| {
        if !asked.body.to_string().contains("You note what a person says about their own life") {
            return Act::say("all right");
        }
        let facts = match asked.last_user.contains("pup") {
            true => r#"{"facts": [{"text": "We got a puppy, Rex", "is_key": true}, {"text": "I live in Berlin"}]}"#,
            false => "I cannot help with that.",
        };
        Act::say(facts)
    })
    .await;
    let plan = Sandbox::plan().with(model.as_openai()).set("CLARA_LEARNING", "model").set("ROOK_MODEL", "small-model");
    let sandbox = plan.start().await;
    let bus = sandbox.bus().await;
    let mut terminal = sandbox.terminal("main").await;
    terminal.asks("so, big news: we got a puppy! we named him Rex").await;
    known(&bus, ANN, &["We got a puppy, Rex"]).await;
    terminal.asks("what do you think?").await;
    let asked = eventually("both were asked about", async || {
        let asked: Vec<_> = model.asked().into_iter().filter(|asked| asked.model == "small-model").collect();
        (asked.len() == 2).then_some(asked)
    })
    .await;
    assert!(asked.iter().all(|asked| !asked.body.to_string().contains("all right")), "her answers are not read");
    let fact = ask(&bus, ANN, FactCommand::List { limit: 9, before: None, project: String::new() })
        .await
        .unwrap()
        .facts
        .remove(0);
    assert!(fact.is_key, "{fact:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_answer_used_grows_stronger_and_relations_stand_in_the_prompt() {
    let model = FakeModel::start(|asked, _| {
        Act::say(if asked.last_user.contains("where") { "Your sister Ida lives in Rome." } else { "all right" })
    })
    .await;
    let sandbox = Sandbox::plan().with(model.as_openai()).start().await;
    let bus = sandbox.bus().await;
    let mut terminal = sandbox.terminal("main").await;
    terminal.asks("My sister Ida lives in Rome. I like tea.").await;
    known(&bus, ANN, &["I like tea", "My sister Ida lives in Rome"]).await;
    terminal.asks("where does my sister live?").await;
    let prompt = model.asked().last().unwrap().body.to_string();
    for line in [
        "## USER MEMORIES",
        "- My sister Ida lives in Rome",
        "## KNOWN RELATIONSHIPS",
        "- user — sister — Ida",
        "- Ida — lives in — Rome",
    ] {
        assert!(prompt.contains(line), "{line}: {prompt}");
    }
    let database = Database::sqlite(&sandbox.folder().join("data/memory.sqlite")).await.unwrap();
    let used = eventually("the answer is stored", async || {
        let sql = "SELECT f.content FROM memory_dynamics d JOIN memories f ON f.id = d.memory_id WHERE d.access_count = 1 \
                   AND d.stability > 1 AND d.storage_strength > 0.5";
        let rows = database.fetch(sql, &[]).await.unwrap();
        (!rows.is_empty()).then(|| rows.iter().map(|row| row.text("content").unwrap()).collect::<Vec<_>>())
    })
    .await;
    assert_eq!(used, ["My sister Ida lives in Rome"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reminders_fire_once_and_only_with_an_answer() {
    let model = FakeModel::start(|asked, number| match (asked.last_user.contains("Lisbon"), number) {
        // The first answer to it fails for good.
        (true, 1) => Act::Refuse(400, Vec::new(), "no".into()),
        _ => Act::say("all right"),
    })
    .await;
    let sandbox = Sandbox::plan().with(model.as_openai()).start().await;
    let bus = sandbox.bus().await;
    let mut terminal = sandbox.terminal("main").await;
    let trigger = r#"{"type": "keyword", "keywords": ["lisbon"]}"#.to_owned();
    let intention = Intention {
        id: "1".into(),
        content: "Ask Paul for the keys".into(),
        trigger,
        priority: 0,
        fires_once: true,
        expires_at_ms: 0,
    };
    let no_trigger = Intention { id: "2".into(), trigger: "{}".into(), ..intention.clone() };
    ask(&bus, ANN, FactCommand::Intend { intention: no_trigger }).await.unwrap_err();
    ask(&bus, ANN, FactCommand::Intend { intention: intention.clone() }).await.unwrap();
    for said in ["hello", "I am off to Lisbon", "Lisbon, I said", "hello"] {
        terminal.asks(said).await;
    }
    let waiting = async || ask(&bus, ANN, FactCommand::Intentions).await.unwrap().intentions;
    eventually("it has fired", async || waiting().await.is_empty().then_some(())).await;
    terminal.asks("Lisbon once more").await;
    let told = |asked: &testkit::model::Asked| asked.body.to_string().contains("Ask Paul for the keys");
    let told: Vec<bool> = model.asked().iter().map(told).collect();
    assert_eq!(told, [false, true, true, false, false], "a turn that failed told nobody");
    assert!(ask(&bus, "bob", FactCommand::Dismiss { id: "1".into() }).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reminder_by_its_place_fires_there_alone() {
    let model = FakeModel::start(|_, _| Act::say("all right")).await;
    let sandbox = Sandbox::plan().with(model.as_openai()).start().await;
    let bus = sandbox.bus().await;
    let trigger = r#"{"type": "context", "channel_name": "Plans", "is_dm": true}"#.to_owned();
    let content = "Ask Paul for the keys".to_owned();
    let intention = Intention { id: "1".into(), content, trigger, priority: 0, fires_once: true, expires_at_ms: 0 };
    ask(&bus, ANN, FactCommand::Intend { intention }).await.unwrap();
    for place in ["main", "plans"] {
        sandbox.terminal(place).await.asks("hello").await;
    }
    let told = |asked: &testkit::model::Asked| asked.body.to_string().contains("Ask Paul for the keys");
    assert_eq!(model.asked().iter().map(told).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_was_about_stands_in_the_prompt() {
    let model = FakeModel::start(|_, _| Act::say("all right")).await;
    let plan = Sandbox::plan().set("CLARA_HISTORY_MESSAGES", 4).with(model.as_openai());
    let sandbox = plan.start().await;
    let mut terminal = sandbox.terminal("main").await;
    let database = Database::sqlite(&sandbox.folder().join("data/memory.sqlite")).await.unwrap();
    terminal.asks("Let us plan a trip to Lisbon.").await;
    // Nobody speaks for half an hour: the queue is told that it has passed.
    let summary = eventually("the session is summarised", async || {
        database.execute("UPDATE sessions_to_summarize SET due_at = 0", &[]).await.unwrap();
        let rows = database.fetch("SELECT title, session_summary FROM sessions", &[]).await.unwrap();
        let row = rows.first()?;
        Some((row.optional_text("title").unwrap()?, row.optional_text("session_summary").unwrap()?))
    })
    .await;
    assert_eq!(summary, ("Let us plan a trip to Lisbon".into(), "Ann: “Let us plan a trip to Lisbon.”".into()));
    for said in ["one", "two", "three"] {
        terminal.asks(said).await;
    }
    let prompt = model.asked().last().unwrap().body.to_string();
    assert!(prompt.contains("## EARLIER IN THIS CONVERSATION") && prompt.contains("trip to Lisbon"), "{prompt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn how_somebody_felt_and_what_they_come_back_to_stands_in_their_prompt_alone() {
    let model = FakeModel::start(|_, _| Act::say("all right")).await;
    let sandbox = Sandbox::plan().with(model.as_openai()).start().await;
    let bus = sandbox.bus().await;
    let database = Database::sqlite(&sandbox.folder().join("data/memory.sqlite")).await.unwrap();
    for conversation in ["monday", "thursday"] {
        let mut terminal = sandbox.terminal(conversation).await;
        for said in [
            "I hate it: the marathon training was terrible and painful.",
            "The marathon is in Lisbon, and the training goes on.",
            "Today the marathon training was wonderful, I am so happy!",
        ] {
            terminal.asks(said).await;
        }
    }
    // Half an hour of silence, and more: the queue and the sessions are told that it has passed.
    eventually("both sessions are summarised", async || {
        database.execute("UPDATE sessions_to_summarize SET due_at = 0", &[]).await.unwrap();
        let rows = database.fetch("SELECT session_id FROM emotional_contexts", &[]).await.unwrap();
        (rows.len() == 2).then_some(())
    })
    .await;
    database.execute("UPDATE sessions SET last_activity_at = last_activity_at - 3600000", &[]).await.unwrap();
    sandbox.terminal("friday").await.asks("hello").await;
    let prompt = model.asked().last().unwrap().body.to_string();
    let (_, felt) = prompt.split_once("## RECENT EMOTIONAL CONTEXT").expect("how they felt is told");
    assert!(felt.contains("I hate it: the marathon training was terrible and painful”: even, volatile"), "{felt}");
    let (_, topics) = prompt.split_once("## RECURRING TOPICS").expect("what they come back to is told");
    assert!(topics.contains("- marathon: 2 conversations in two weeks"), "{topics}");

    assert_eq!(asking::recall(&bus, ANN, Audience::Direct, "hello").await.moods.len(), 2);
    let in_a_group = asking::recall(&bus, ANN, Audience::Group, "hello").await;
    assert_eq!((in_a_group.moods, in_a_group.topics), (vec![], vec![]), "it is nobody else's business");
    let cleared = ask(&bus, ANN, FactCommand::Clear).await.unwrap();
    assert!(cleared.proof.iter().all(|searched| searched.found == 0), "{cleared:?}");
    for table in ["emotional_contexts", "topic_mentions"] {
        let rows = database.fetch(&format!("SELECT session_id FROM {table}"), &[]).await.unwrap();
        assert!(rows.is_empty(), "{table} is cleared");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_after_two_accounts_have_parted_is_their_own() {
    let sandbox = Sandbox::start().await;
    let bus = sandbox.bus().await;
    let link = |account: &str| FactCommand::Link { account: account.into() };
    ask(&bus, "discord-7", link(ANN)).await.unwrap();
    assert_eq!(ask(&bus, ANN, link("discord-7")).await.unwrap().accounts, [ANN, "discord-7"]);
    let said = async |user: &str, words: &str| told(&bus, user, Audience::Direct, words).await;
    let found = async |user: &str, words: &str, text: &str| {
        eventually("it is found", async || said(user, words).await.iter().any(|said| said == text).then_some(())).await;
    };
    let mut terminal = sandbox.terminal("main").await;
    terminal.asks("the plum tree blooms").await;
    found("discord-7", "plum", "the plum tree blooms").await;
    ask(&bus, ANN, FactCommand::Unlink).await.unwrap();
    // In the same conversation, within half an hour.
    terminal.asks("the walnut fell").await;
    found(ANN, "walnut", "the walnut fell").await;
    assert!(said("discord-7", "walnut").await.iter().all(|said| !said.contains("walnut")));
    assert!(said(ANN, "plum").await.iter().all(|said| !said.contains("plum")), "that stays with the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_memories_are_counted_taken_along_and_erased_in_words() {
    let model = FakeModel::start(|asked, _| match asked.results.last() {
        Some(result) => Act::say(format!("result: {result}")),
        None => match asked.last_user.split_once(' ') {
            Some((name, arguments)) => Act::call(name, arguments),
            None => Act::say("all right"),
        },
    })
    .await;
    let sandbox = Sandbox::plan().with(model.as_openai()).set("CLARA_LEARNING", "off").start().await;
    let mut terminal = sandbox.terminal("main").await;
    let shown = terminal.asks(r#"memory_bootstrap {"text": "I live in Bergen. My sister is called Ida."}"#).await;
    assert!(shown.text.contains("have stored nothing yet"), "{}", shown.text);
    terminal.asks(r#"remember {"text": "The boat is called Wombatfig"}"#).await;
    let lines = terminal.asks("memory_export {}").await.text;
    let line = lines.strip_prefix("result: ").unwrap();
    assert!(line.contains("\"text\":\"The boat is called Wombatfig\"") && line.lines().count() == 1, "{lines}");
    let other = line.replace("boat", "ship").replace("\"id\":\"", "\"id\":\"x");
    let arguments = serde_json::json!({"lines": other}).to_string();
    assert!(terminal.asks(&format!("memory_import {arguments}")).await.text.contains("Imported"));
    let refused = terminal.asks(r#"memory_import {"lines": "nothing"}"#).await.text;
    assert!(refused.contains("line 1") && refused.contains("nothing was stored"), "{refused}");
    let counted = terminal.asks("memory_stats {}").await.text;
    assert!(counted.contains("- memories: 2"), "{counted}");
    let asked = terminal.asks("memory_clear {}").await;
    assert_eq!(asked.kind, ReplyKind::Question, "{}", asked.text);
    let erased = terminal.asks("yes").await;
    assert!(erased.text.contains("Everything is erased"), "{}", erased.text);
    assert!(terminal.asks("memory_export {}").await.text.contains("There are no more"));
}
