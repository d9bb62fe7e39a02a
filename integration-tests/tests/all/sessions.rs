//! What conversations are about, and what was said in one go: projects with memories of
//! their own, and sessions that are listed, named and put away. On both databases.

use std::time::Duration;

use bus::{Bus, Endpoints};
use domain::attachment::Attachment;
use domain::ids::ConversationId;
use domain::memory::{FactCommand, RecallRequest, Recalled};
use domain::message::Audience;
use domain::session::{Session, SessionAnswer, SessionCommand, SessionRequest};
use proto::terminal::Saying;
use testkit::eventually;
use testkit::model::{Act, FakeModel};
use testkit::postgres::Postgres;
use testkit::sandbox::{Plan, Sandbox};

use crate::asking::{self, ask, list, principal};

const PATIENCE: Duration = Duration::from_secs(30);
const ANN: &str = "cli-user";

async fn enter(bus: &Bus, conversation: &ConversationId, project: &str) -> String {
    let command = FactCommand::Enter { conversation: conversation.clone(), project: project.into() };
    ask(bus, ANN, command).await.unwrap().project
}

/// The texts that a turn in a conversation would be told, each with its project.
async fn told(bus: &Bus, conversation: &ConversationId, audience: Audience) -> Vec<(String, String)> {
    told_about(bus, conversation, audience, "what do you know?").await
}

async fn told_about(
    bus: &Bus,
    conversation: &ConversationId,
    audience: Audience,
    query: &str,
) -> Vec<(String, String)> {
    let request = RecallRequest {
        conversation: conversation.clone(),
        channel: String::new(),
        principal: principal(ANN),
        audience,
        generation: 0,
        previous: None,
        query: query.into(),
        history_limit: 0,
        fact_limit: 35,
        relation_limit: 20,
        passage_limit: 0,
    };
    let recalled: Recalled = bus.request(Endpoints::MemoryRecall, &request, PATIENCE).await.unwrap();
    let mut told: Vec<_> = recalled.facts.into_iter().map(|fact| (fact.text, fact.project)).collect();
    told.sort();
    told
}

async fn sessions(bus: &Bus, user: &str, command: SessionCommand) -> Result<SessionAnswer, String> {
    let request = SessionRequest { principal: principal(user), command };
    bus.request(Endpoints::MemorySessions, &request, PATIENCE).await.map_err(|err| err.to_string())
}

async fn listed(bus: &Bus, user: &str, archived: bool) -> Vec<Session> {
    sessions(bus, user, SessionCommand::List { archived, before: None, limit: 50 }).await.unwrap().sessions
}

fn pair(text: &str, project: &str) -> (String, String) {
    (text.to_owned(), project.to_owned())
}

async fn check_projects(plan: Plan) {
    let sandbox = plan.start().await;
    let bus = sandbox.bus().await;
    let (mut work, mut home) = (sandbox.terminal("work").await, sandbox.terminal("home").await);
    assert_eq!(enter(&bus, &work.conversation, " New  Kitchen ").await, "new kitchen");
    work.asks("remember that the tiles are blue").await;
    home.asks("remember that my sister is Ida").await;
    work.asks("My favourite colour is green").await;
    let (tiles, ida, green) = (
        pair("the tiles are blue", "new kitchen"),
        pair("my sister is Ida", ""),
        pair("My favourite colour is green", "new kitchen"),
    );
    let known = || async { told(&bus, &work.conversation, Audience::Direct).await };
    eventually("it was learnt", async || (known().await.len() == 3).then_some(())).await;
    assert_eq!(known().await, [green.clone(), ida.clone(), tiles.clone()]);
    // Elsewhere it is not at hand, and neither is it in another project.
    assert_eq!(told(&bus, &home.conversation, Audience::Direct).await, std::slice::from_ref(&ida));
    enter(&bus, &home.conversation, "garden").await;
    assert_eq!(told(&bus, &home.conversation, Audience::Direct).await, std::slice::from_ref(&ida));
    assert_eq!(told(&bus, &work.conversation, Audience::Group).await, [], "all of it is private");
    let of_project = FactCommand::List { limit: 9, before: None, project: "New kitchen".into() };
    assert_eq!(ask(&bus, ANN, of_project).await.unwrap().facts.len(), 2);
    let projects =
        ask(&bus, ANN, FactCommand::Projects { conversation: Some(home.conversation.clone()) }).await.unwrap();
    let counts: Vec<_> = projects.counts.iter().map(|count| (count.name.as_str(), count.value)).collect();
    assert_eq!((projects.project.as_str(), counts), ("garden", vec![("garden", 0), ("new kitchen", 2)]));

    // A memory moves; a conversation leaves its project; others have none of it.
    let id = list(&bus, ANN).await.into_iter().find(|fact| fact.text == "the tiles are blue").unwrap().id;
    let moved = FactCommand::Mark { id, is_key: None, is_public: None, project: Some(String::new()) };
    assert_eq!(ask(&bus, ANN, moved).await.unwrap().facts[0].project, "");
    assert_eq!(enter(&bus, &work.conversation, "").await, "");
    let tiles = pair("the tiles are blue", "");
    assert_eq!(told(&bus, &work.conversation, Audience::Direct).await, [ida, tiles]);
    let theirs =
        ask(&bus, "cli-bob", FactCommand::Projects { conversation: Some(home.conversation.clone()) }).await.unwrap();
    assert_eq!((theirs.project.as_str(), theirs.counts.len()), ("", 0));
    // Nobody has a project of these names: they are none.
    for none in ["None", "default  project"] {
        assert_eq!(enter(&bus, &home.conversation, none).await, "");
        assert_eq!(enter(&bus, &home.conversation, "garden").await, "garden");
    }
    let long = FactCommand::Enter { conversation: work.conversation.clone(), project: "x".repeat(81) };
    assert!(ask(&bus, ANN, long).await.unwrap_err().contains("at most 80 bytes"));

    let cleared = ask(&bus, ANN, FactCommand::Clear).await.unwrap();
    assert!(cleared.proof.iter().all(|searched| searched.found == 0), "{:?}", cleared.proof);
    let after = ask(&bus, ANN, FactCommand::Projects { conversation: Some(home.conversation.clone()) }).await.unwrap();
    assert_eq!((after.project.as_str(), after.counts.len()), ("", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_project_has_much_of_does_not_crowd_out_what_is_ones_own() {
    let sandbox = Sandbox::start().await;
    let (bus, terminal) = (sandbox.bus().await, sandbox.terminal("main").await);
    let remember = async |text: String, project: &str| {
        let command = FactCommand::Remember { id: text.clone(), text, is_key: false, project: project.into() };
        ask(&bus, ANN, command).await.unwrap();
    };
    remember("my hedge is a hawthorn".into(), "").await;
    // More than are ranked for a question, and each a better match than the one.
    let flowers = ["tulips", "roses", "irises"];
    for bed in 0..30 {
        for flower in flowers {
            remember(format!("bed{bed}{flower} holds {flower} of kind{bed}{flower}"), "garden").await;
        }
    }
    let asked = "tulips, roses, irises";
    let hedge = pair("my hedge is a hawthorn", "");
    let direct = async || told_about(&bus, &terminal.conversation, Audience::Direct, asked).await;
    assert_eq!(direct().await, std::slice::from_ref(&hedge));
    enter(&bus, &terminal.conversation, "garden").await;
    let both = direct().await;
    assert!(both.contains(&hedge) && both.len() == 36, "{}", both.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_a_choice_belongs_where_it_was_said() {
    let model = FakeModel::start(|_, _| Act::After(Duration::from_secs(2), Box::new(Act::say("so be it")))).await;
    let sandbox = Sandbox::plan().set("CLARA_LEARNING", "rules").with(model.as_openai()).start().await;
    let bus = sandbox.bus().await;
    let mut terminal = sandbox.terminal("main").await;
    let message = terminal.says("My dog is called Rex").await;
    enter(&bus, &terminal.conversation, "kitchen").await;
    terminal.reply_to(&message).await;
    terminal.asks("My sister Ida lives in Rome").await;
    let known = || async { told(&bus, &terminal.conversation, Audience::Direct).await };
    eventually("both are learnt", async || (known().await.len() == 2).then_some(())).await;
    assert_eq!(known().await, [pair("My dog is called Rex", ""), pair("My sister Ida lives in Rome", "kitchen")]);
    // Nor do relations tell of it elsewhere.
    let recalled = asking::recall(&bus, ANN, Audience::Direct, "what of Ida and Rex?").await;
    assert_eq!((recalled.facts.len(), recalled.relations.iter().any(|line| line.contains("Ida"))), (1, false));
}

async fn check_sessions(plan: Plan) {
    let model = FakeModel::start(|asked, _| Act::say(format!("re: {}", asked.last_user))).await;
    let sandbox = plan.with(model.as_openai()).start().await;
    let bus = sandbox.bus().await;
    let mut terminal = sandbox.terminal("main").await;
    terminal.asks("the first thing").await;
    let notes = Attachment::of("notes.txt", b"milk").unwrap();
    bus.files().await.unwrap().store(&terminal.conversation, &notes.file, b"milk").await.unwrap();
    let message = terminal.does(Saying::Text { text: "look".into(), attachments: vec![notes] }).await;
    terminal.reply_to(&message).await;
    enter(&bus, &terminal.conversation, "garden").await;
    terminal.asks("the tulips").await;
    // A project's session is one of its own, though the history goes on.
    let two = eventually("both sessions are stored", async || {
        let two = listed(&bus, ANN, false).await;
        (two.len() == 2 && two.iter().map(|session| session.messages).sum::<u64>() == 6).then_some(two)
    })
    .await;
    let [tulips, first] = &two[..] else { panic!("{two:?}") };
    assert_eq!((tulips.project.as_str(), tulips.messages), ("garden", 2));
    assert_eq!((first.project.as_str(), first.messages), ("", 4));
    assert!(model.asked().pop().unwrap().body.to_string().contains("the first thing"));

    let show = |id: &str| SessionCommand::Show { id: id.into(), skip: 0, limit: 50 };
    let shown = sessions(&bus, ANN, show(&first.id)).await.unwrap();
    let said: Vec<_> = shown.messages.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(said[..3], ["the first thing", "re: the first thing", "look"]);
    assert_eq!(shown.messages[2].attachments[0].name, "notes.txt");
    let page = SessionCommand::Show { id: first.id.clone(), skip: 1, limit: 2 };
    let page = sessions(&bus, ANN, page).await.unwrap().messages;
    assert_eq!(page.iter().map(|message| message.text.as_str()).collect::<Vec<_>>(), ["re: the first thing", "look"]);
    let older = SessionCommand::List { archived: false, before: Some(tulips.id.clone()), limit: 50 };
    assert_eq!(sessions(&bus, ANN, older).await.unwrap().sessions, std::slice::from_ref(first));
    let rename = SessionCommand::Rename { id: first.id.clone(), title: "  Firsts\nof all ".into() };
    assert_eq!(sessions(&bus, ANN, rename).await.unwrap().sessions[0].title, "Firsts of all");
    // Nobody else's.
    for command in [
        show(&first.id),
        SessionCommand::Rename { id: first.id.clone(), title: "mine".into() },
        SessionCommand::Archive { id: first.id.clone(), is_archived: true },
    ] {
        assert!(sessions(&bus, "cli-bob", command).await.unwrap_err().contains("there is no session"));
    }
    assert_eq!((listed(&bus, "cli-bob", false).await.len(), listed(&bus, ANN, true).await.len()), (0, 0));

    // What was put away is no history, begins no more, and comes back.
    for id in [&first.id, &tulips.id] {
        sessions(&bus, ANN, SessionCommand::Archive { id: id.clone(), is_archived: true }).await.unwrap();
    }
    assert_eq!((listed(&bus, ANN, false).await.len(), listed(&bus, ANN, true).await.len()), (0, 2));
    terminal.asks("and now?").await;
    let asked = model.asked().pop().unwrap().body["messages"].to_string();
    assert!(asked.contains("and now?") && !asked.contains("\"re: the tulips\""), "{asked}");
    eventually("a new session begins", async || (listed(&bus, ANN, false).await.len() == 1).then_some(())).await;
    sessions(&bus, ANN, SessionCommand::Archive { id: tulips.id.clone(), is_archived: false }).await.unwrap();
    terminal.asks("again").await;
    let asked = model.asked().pop().unwrap().body["messages"].to_string();
    assert!(asked.contains("\"re: the tulips\"") && !asked.contains("\"re: the first thing\""), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_have_memories_of_their_own_on_sqlite() {
    check_projects(Sandbox::plan()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_have_memories_of_their_own_on_postgres() {
    let postgres = Postgres::start();
    check_projects(Sandbox::plan().set("DATABASE_URL", postgres.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_named_and_put_away_on_sqlite() {
    check_sessions(Sandbox::plan()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_named_and_put_away_on_postgres() {
    let postgres = Postgres::start();
    check_sessions(Sandbox::plan().set("DATABASE_URL", postgres.url())).await;
}
