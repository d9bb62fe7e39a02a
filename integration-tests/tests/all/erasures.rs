//! How what was remembered is erased: from files, from the bus, and with everything.

use std::path::Path;

use domain::approval::Question;
use domain::ids::TurnId;
use domain::memory::FactCommand;
use domain::message::Audience;
use domain::turn::ReplyKind;
use futures::TryStreamExt;
use store::Database;
use testkit::eventually;
use testkit::sandbox::Sandbox;
use tokio::task::JoinSet;

use crate::asking::{ANN, ask, known, texts, told};

/// Whether a file of a folder holds a text, whatever the file is.
fn holds(folder: &Path, text: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = files.filter(|file| {
        let bytes = std::fs::read(file).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
    });
    found.map(|file| file.display().to_string()).collect()
}

/// The streams of the bus that hold a text, read without the services.
async fn streams_with(url: &str, text: &str) -> Vec<String> {
    let context = async_nats::jetstream::new(async_nats::connect(url).await.unwrap());
    let mut found = Vec::new();
    for name in context.stream_names().try_collect::<Vec<_>>().await.unwrap() {
        let stream = context.get_stream(&name).await.unwrap();
        let state = &stream.cached_info().state;
        for sequence in state.first_sequence..=state.last_sequence {
            let Ok(message) = stream.get_raw_message(sequence).await else { continue };
            if message.payload.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes())) {
                found.push(name.clone());
                break;
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_is_in_no_file_any_more() {
    let mut sandbox = Sandbox::start().await;
    let bus = sandbox.bus().await;
    let mut terminal = sandbox.terminal("main").await;
    terminal.asks("My password hint is quokkaberry. I love hiking.").await;
    // Whichever of the two came first would be the one that is kept.
    known(&bus, ANN, &["I love hiking", "My password hint is quokkaberry"]).await;
    terminal.asks("remember that my password hint is quokkaberry").await;
    terminal.asks("hello").await;
    known(&bus, ANN, &["I love hiking", "My password hint is quokkaberry"]).await;
    let folder = sandbox.folder().join("data");
    assert!(!holds(&folder, "quokkaberry").is_empty(), "it is there before");
    let on_bus = async |text: &str| streams_with(&sandbox.nats.url(), text).await;
    assert!(on_bus("quokkaberry").await.len() >= 3, "{:?}", on_bus("quokkaberry").await);

    let answer = ask(&bus, ANN, FactCommand::Forget { which: "quokkaberry".into() }).await.unwrap();
    assert_eq!(answer.facts.len(), 1, "{answer:?}");
    assert!(answer.proof.len() > 8 && answer.proof.iter().all(|searched| searched.found == 0), "{answer:?}");
    assert_eq!(holds(&folder, "quokkaberry"), [""; 0], "nor in the raw files");
    // Prompts of turns since go when these have surely ended.
    assert_eq!(on_bus("quokkaberry").await, ["CLARA_JOURNAL"], "nor in a stream");
    assert_eq!(texts(&bus, ANN).await, ["I love hiking"], "what it was said with stays remembered");

    // Nothing brings it back: not a cache, not a journal, not a restart.
    let recalled = told(&bus, ANN, Audience::Direct, "what is my password hint?").await;
    assert!(recalled.iter().all(|text| !text.contains("quokkaberry")), "{recalled:?}");
    sandbox.kill("memory", 0);
    sandbox.start_service("memory", 0);
    sandbox.ready(1).await;
    terminal.asks("what is my password hint?").await;
    let recalled = told(&bus, ANN, Audience::Direct, "quokkaberry").await;
    assert!(recalled.iter().all(|text| !text.contains("quokkaberry")), "{recalled:?}");
    assert_eq!(texts(&bus, ANN).await, ["I love hiking"]);

    // The turn that asks says once more what is to be forgotten: it is not kept either.
    terminal.asks("My gym locker is wombatfig").await;
    known(&bus, ANN, &["My gym locker is wombatfig", "I love hiking"]).await;
    let reply = terminal.asks("forget wombatfig").await;
    assert_eq!((reply.kind, reply.asks), (ReplyKind::Question, Some(Question::Approval)), "{}", reply.text);
    let reply = terminal.asks("yes").await;
    assert_eq!(reply.text, "Forgotten: 1 memory, with what they came from; nothing of it is left.");
    terminal.asks("hello again").await;
    assert_eq!(texts(&bus, ANN).await, ["I love hiking"]);
    assert_eq!(holds(&folder, "wombatfig"), [""; 0]);
    // That turn, and the prompts since, are left alone while they may be running.
    let database = Database::sqlite(&folder.join("memory.sqlite")).await.unwrap();
    for table in ["journals_to_purge", "erased_turns"] {
        database.execute(&format!("UPDATE {table} SET erased_at = 0"), &[]).await.unwrap();
    }
    database.close().await;
    sandbox.kill("memory", 0);
    sandbox.start_service("memory", 0);
    for text in ["quokkaberry", "wombatfig"] {
        let url = sandbox.nats.url();
        eventually("no stream holds it", async || streams_with(&url, text).await.is_empty().then_some(())).await;
    }

    let cleared = ask(&bus, ANN, FactCommand::Clear).await.unwrap();
    assert!(cleared.proof.iter().all(|searched| searched.found == 0), "{cleared:?}");
    assert_eq!(holds(&folder, "hiking"), [""; 0]);
    assert!(told(&bus, ANN, Audience::Direct, "hiking").await.is_empty());
}

/// Erasers run in every replica, and whoever asks waits for their own.
#[tokio::test(flavor = "multi_thread")]
async fn what_several_erase_at_once_is_gone_and_none_of_them_fails() {
    let sandbox = Sandbox::start().await;
    let mut terminal = sandbox.terminal("main").await;
    let mut turns = Vec::new();
    for _ in 0..5 {
        let message = terminal.says("call current_time with {}").await;
        turns.push(TurnId::derive(&terminal.conversation, &message));
        assert_eq!(terminal.reply_to(&message).await.kind, ReplyKind::Answered);
    }
    let mut erasing = JoinSet::new();
    for _ in 0..8 {
        let (bus, conversation, turns) = (sandbox.bus().await, terminal.conversation.clone(), turns.clone());
        erasing.spawn(async move {
            for turn in turns {
                bus.erase_turn(&conversation, turn).await?;
                bus.erase_shown(&conversation, turn).await?;
            }
            bus.erase_accepted(&conversation).await
        });
    }
    while let Some(erased) = erasing.join_next().await {
        erased.unwrap().unwrap();
    }
    assert_eq!(streams_with(&sandbox.nats.url(), "current_time with").await, [""; 0]);
}
