//! The contract of every store that memories are kept, compared and walked in: the same
//! tests for each. Vectors come from an endpoint that knows "hound" for "dog".

use bus::Bus;
use domain::memory::{FactAnswer, FactCommand};
use domain::message::Audience;
use domain::turn::ReplyKind;
use testkit::eventually;
use testkit::falkordb::FalkorDb;
use testkit::model::FakeModel;
use testkit::model::embeddings::REFUSED;
use testkit::postgres::Postgres;
use testkit::qdrant::FakeQdrant;
use testkit::sandbox::{Plan, Sandbox};

use crate::asking;

async fn ask(bus: &Bus, user: &str, command: FactCommand) -> FactAnswer {
    asking::ask(bus, user, command).await.unwrap()
}

async fn remember(bus: &Bus, user: &str, id: &str, text: &str) -> String {
    let command = FactCommand::Remember { id: id.into(), text: text.into(), is_key: false, project: String::new() };
    ask(bus, user, command).await.facts.remove(0).id
}

/// What a search finds, best first.
async fn search(bus: &Bus, user: &str, query: &str) -> Vec<String> {
    let found = ask(bus, user, FactCommand::Search { query: query.into(), limit: 10 }).await.facts;
    found.into_iter().map(|fact| fact.text).collect()
}

/// The relations that a turn is told of, sorted.
async fn relations(bus: &Bus, user: &str, audience: Audience, query: &str) -> Vec<String> {
    let mut relations = asking::recall(bus, user, audience, query).await.relations;
    relations.sort();
    relations
}

/// Waits until a search finds exactly this.
async fn finds(bus: &Bus, user: &str, query: &str, expected: &[&str]) {
    eventually("it finds what it should", async || (search(bus, user, query).await == expected).then_some(())).await;
}

async fn tells(bus: &Bus, audience: Audience, query: &str, expected: &[&str]) {
    let told = async || (relations(bus, "ann", audience, query).await == expected).then_some(());
    eventually("it tells of what it should", told).await;
}

/// Forgets, and checks the proof: every store was searched, and holds nothing.
async fn forgets(bus: &Bus, command: FactCommand, stores: &[&str]) {
    let proof = ask(bus, "ann", command).await.proof;
    assert!(proof.iter().all(|searched| searched.found == 0), "{proof:?}");
    for store in stores {
        assert!(proof.iter().any(|searched| searched.store == *store), "{store} is not in {proof:?}");
    }
}

const SISTER: [&str; 2] = ["Ida — lives in — Rome", "user — sister — Ida"];

/// What holds wherever vectors and relations are.
async fn contract(plan: Plan, stores: &[&str]) -> Sandbox {
    let model = FakeModel::echo().await;
    let mut sandbox = plan.only(&["memory"]).with(model.as_embeddings()).replicas(2).start().await;
    let bus = sandbox.bus().await;
    let rex = remember(&bus, "ann", "1", "My dog is called Rex").await;
    let ida = remember(&bus, "ann", "2", "My sister Ida lives in Rome").await;
    remember(&bus, "ann", "3", "I love hiking").await;
    remember(&bus, "bob", "4", "My dog is called Max").await;

    // By its meaning, and nobody else's.
    finds(&bus, "ann", "hound called?", &["My dog is called Rex"]).await;
    finds(&bus, "bob", "hound called?", &["My dog is called Max"]).await;
    tells(&bus, Audience::Direct, "Where does my sister live?", &SISTER).await;
    assert!(relations(&bus, "bob", Audience::Direct, "sister").await.is_empty());

    // Groups see what is public, at this moment.
    let public =
        |is_public| FactCommand::Mark { id: ida.clone(), is_key: None, is_public: Some(is_public), project: None };
    tells(&bus, Audience::Group, "my sister?", &[]).await;
    ask(&bus, "ann", public(true)).await;
    tells(&bus, Audience::Group, "my sister?", &SISTER).await;
    ask(&bus, "ann", public(false)).await;
    assert!(relations(&bus, "ann", Audience::Group, "my sister?").await.is_empty());

    // What is another now, is found as that; and taken back.
    let edit = |text: &str| FactCommand::Edit { id: rex.clone(), text: text.into() };
    ask(&bus, "ann", edit("My canary sings at night")).await;
    finds(&bus, "ann", "canary sings?", &["My canary sings at night"]).await;
    finds(&bus, "ann", "hound called?", &[]).await;
    ask(&bus, "ann", FactCommand::Undo { id: rex.clone() }).await;
    finds(&bus, "ann", "hound called?", &["My dog is called Rex"]).await;
    let paris = remember(&bus, "ann", "5", "My sister Ida moved to Paris").await;
    remember(&bus, "ann", "6", "My dog is called Bello").await;
    finds(&bus, "ann", "hound called?", &["My dog is called Bello"]).await;
    forgets(&bus, FactCommand::Forget { which: paris }, stores).await;

    // What the endpoint does not take is found by its words, and holds nothing up.
    remember(&bus, "ann", "7", &format!("My {REFUSED} friend is Olga")).await;
    remember(&bus, "ann", "8", "I swim in cold water").await;
    finds(&bus, "ann", "water?", &["I swim in cold water"]).await;
    finds(&bus, "ann", REFUSED, &[&format!("My {REFUSED} friend is Olga")]).await;

    // After a restart; then for good.
    for replica in 0..2 {
        sandbox.kill("memory", replica);
        sandbox.start_service("memory", replica);
    }
    sandbox.ready(2).await;
    finds(&bus, "ann", "hound called?", &["My dog is called Bello"]).await;
    forgets(&bus, FactCommand::Forget { which: ida }, stores).await;
    assert!(relations(&bus, "ann", Audience::Direct, "sister Ida?").await.is_empty());
    forgets(&bus, FactCommand::Clear, stores).await;
    assert!(search(&bus, "ann", "dog swim water?").await.is_empty());
    finds(&bus, "bob", "hound called?", &["My dog is called Max"]).await;
    assert!(model.faults().iter().all(|fault| fault.contains(REFUSED)), "{:?}", model.faults());
    sandbox
}

#[tokio::test(flavor = "multi_thread")]
async fn contract_holds_on_sqlite() {
    contract(Sandbox::plan(), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contract_holds_on_postgres() {
    let postgres = Postgres::start();
    contract(Sandbox::plan().set("DATABASE_URL", postgres.url()), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contract_holds_with_pgvector_and_falkordb() {
    let (postgres, falkordb) = (Postgres::start(), FalkorDb::start());
    let plan = Sandbox::plan().set("DATABASE_URL", postgres.url()).set("ROOK_DATABASE_URL", postgres.url());
    contract(plan.with(falkordb.settings()), &["pgvector", "FalkorDB"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contract_holds_with_qdrant() {
    let qdrant = FakeQdrant::start().await;
    let sandbox = contract(Sandbox::plan().with(qdrant.settings()), &["Qdrant"]).await;
    let logs = sandbox.logs();
    assert!(logs.iter().all(|(_, log)| !log.contains(testkit::qdrant::KEY)), "a key stands in a log");
}

/// A store that is away is done without, gets what it missed, and proves nothing meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_vector_store_that_was_away_or_lost_everything_is_brought_up_to_date() {
    let (model, qdrant) = (FakeModel::echo().await, FakeQdrant::start().await);
    let plan = Sandbox::plan().only(&["memory"]).with(model.as_embeddings()).with(qdrant.settings());
    qdrant.is_away(true);
    let sandbox = plan.start().await;
    let bus = sandbox.bus().await;
    let rex = remember(&bus, "ann", "1", "My dog is called Rex").await;
    remember(&bus, "ann", "2", "I love hiking").await;
    finds(&bus, "ann", "dog", &["My dog is called Rex"]).await;
    let degraded = async || asking::recall(&bus, "ann", Audience::Direct, "dog").await.degraded;
    assert!(degraded().await, "whoever asks is told that less is found");
    qdrant.is_away(false);
    eventually("it is asked again", async || (!degraded().await).then_some(())).await;
    let held = async |count: usize| (qdrant.payloads().len() == count).then_some(());
    eventually("it has what it missed", async || held(2).await).await;
    for (_, payload) in qdrant.payloads() {
        assert_eq!(payload["scope"], "facts:ann");
        assert_eq!(payload.keys().collect::<Vec<_>>(), ["id", "scope"], "no text of people is there");
    }

    qdrant.is_away(true);
    let proof = ask(&bus, "ann", FactCommand::Forget { which: rex }).await.proof;
    let of_qdrant = proof.iter().find(|searched| searched.store == "Qdrant").unwrap();
    assert!(of_qdrant.found > 0, "what cannot be asked proves nothing: {proof:?}");
    qdrant.is_away(false);
    eventually("it erased when it was back", async || held(1).await).await;

    qdrant.lose_everything();
    remember(&bus, "ann", "3", "My cat is called Tom").await;
    eventually("it was filled anew", async || held(2).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_when_a_store_is_away() {
    let (model, qdrant) = (FakeModel::echo().await, FakeQdrant::start().await);
    let sandbox = Sandbox::plan().with(model.as_embeddings()).with(qdrant.settings()).start().await;
    let mut terminal = sandbox.terminal("main").await;
    assert_eq!(terminal.asks("hello").await.notices, Vec::<String>::new());
    qdrant.is_away(true);
    let reply = terminal.asks("and now?").await;
    assert_eq!((reply.kind, reply.notices), (ReplyKind::Answered, vec!["memory degraded".to_owned()]));
    qdrant.is_away(false);
    assert_eq!(terminal.asks("and again?").await.notices, Vec::<String>::new());
}

/// What another model has made is compared with nothing.
#[tokio::test(flavor = "multi_thread")]
async fn another_model_at_the_endpoint_embeds_everything_anew() {
    let (model, qdrant) = (FakeModel::echo().await, FakeQdrant::start().await);
    let plan = Sandbox::plan().only(&["memory"]).with(model.as_embeddings()).with(qdrant.settings());
    let mut sandbox = plan.set("CLARA_EMBEDDING_MODEL", "first").start().await;
    let bus = sandbox.bus().await;
    remember(&bus, "ann", "1", "My dog is called Rex").await;
    finds(&bus, "ann", "hound called?", &["My dog is called Rex"]).await;
    sandbox.kill("memory", 0);
    sandbox.start_service_with("memory", 0, &[("CLARA_EMBEDDING_MODEL", "second".into())]);
    sandbox.ready(1).await;
    finds(&bus, "ann", "hound called?", &["My dog is called Rex"]).await;
    let asked = |name: &str| {
        let of = model.embedded();
        of.iter().any(|(model, text)| model == name && text == "My dog is called Rex")
    };
    assert!(asked("first") && asked("second"), "{:?}", model.embedded());
}

/// Two accounts become one person when each has named the other; copies follow.
async fn check_links(plan: Plan) {
    let model = FakeModel::echo().await;
    let sandbox = plan.only(&["memory"]).with(model.as_embeddings()).replicas(2).start().await;
    let bus = sandbox.bus().await;
    let link = |account: &str| FactCommand::Link { account: account.into() };
    let linked = async |user: &str| ask(&bus, user, FactCommand::Links).await.accounts;
    remember(&bus, "cli-ann", "1", "My dog is called Rex").await;
    remember(&bus, "cli-ann", "2", "I love hiking").await;
    remember(&bus, "discord-7", "3", "My sister Ida lives in Rome").await;
    remember(&bus, "discord-7", "4", "I love hiking").await;
    finds(&bus, "cli-ann", "hound called?", &["My dog is called Rex"]).await;

    // Somebody who names another is nobody yet.
    assert_eq!(ask(&bus, "discord-7", link("cli-ann")).await.accounts, ["discord-7"]);
    assert_eq!(ask(&bus, "discord-8", link("cli-ann")).await.accounts, ["discord-8"]);
    assert!(search(&bus, "discord-7", "dog").await.is_empty());
    assert_eq!(ask(&bus, "cli-ann", link("discord-7")).await.accounts, ["cli-ann", "discord-7"]);
    for user in ["cli-ann", "discord-7"] {
        assert_eq!(linked(user).await, ["cli-ann", "discord-7"]);
        finds(&bus, user, "hound called?", &["My dog is called Rex"]).await;
        finds(&bus, user, "hiking", &["I love hiking"]).await;
        eventually("relations go with their person", async || {
            (relations(&bus, user, Audience::Direct, "my sister?").await == SISTER).then_some(())
        })
        .await;
    }
    assert!(search(&bus, "discord-8", "dog").await.is_empty(), "who only asked sees nothing");
    // A third; then one goes, and has a memory of its own from then on.
    ask(&bus, "teams-9", link("discord-7")).await;
    assert_eq!(ask(&bus, "discord-7", link("teams-9")).await.accounts, ["cli-ann", "discord-7", "teams-9"]);
    finds(&bus, "teams-9", "hiking", &["I love hiking"]).await;
    ask(&bus, "cli-ann", FactCommand::Unlink).await;
    assert_eq!(linked("cli-ann").await, ["cli-ann"]);
    assert!(search(&bus, "cli-ann", "hiking").await.is_empty());
    finds(&bus, "discord-7", "hound called?", &["My dog is called Rex"]).await;
    remember(&bus, "cli-ann", "5", "My cat is called Tom").await;
    assert!(search(&bus, "discord-7", "cat").await.is_empty());
    // Who is alone cannot leave anybody.
    let alone = asking::ask(&bus, "cli-ann", FactCommand::Unlink).await;
    assert!(alone.unwrap_err().contains("linked with no other"));
    let proof = ask(&bus, "discord-7", FactCommand::Clear).await.proof;
    assert!(proof.iter().all(|searched| searched.found == 0), "{proof:?}");
    finds(&bus, "cli-ann", "cat", &["My cat is called Tom"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_linked_on_sqlite_and_in_qdrant() {
    let qdrant = FakeQdrant::start().await;
    check_links(Sandbox::plan().with(qdrant.settings())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_linked_on_postgres_and_in_falkordb() {
    let (postgres, falkordb) = (Postgres::start(), FalkorDb::start());
    let plan = Sandbox::plan().set("DATABASE_URL", postgres.url()).set("ROOK_DATABASE_URL", postgres.url());
    check_links(plan.with(falkordb.settings())).await;
}
