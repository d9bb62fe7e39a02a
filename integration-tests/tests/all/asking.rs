//! What tests ask the memory service, over the bus.

use std::time::Duration;

use bus::{Bus, Endpoints};
use domain::ids::{ConversationId, Place};
use domain::memory::{Fact, FactAnswer, FactCommand, FactRequest, RecallRequest, Recalled};
use domain::message::{Audience, Principal};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn principal(user: &str) -> Principal {
    Principal { user: user.into(), name: user.into(), tenant: "local".into() }
}

pub(crate) async fn ask(bus: &Bus, user: &str, command: FactCommand) -> Result<FactAnswer, String> {
    let request = FactRequest { principal: principal(user), asking: None, command };
    bus.request(Endpoints::MemoryFacts, &request, PATIENCE).await.map_err(|err| err.to_string())
}

/// The memories of a person, newest first.
pub(crate) async fn list(bus: &Bus, user: &str) -> Vec<Fact> {
    ask(bus, user, FactCommand::List { limit: 200, before: None, project: String::new() }).await.unwrap().facts
}

/// What a turn that begins with this would be told, in a conversation where nothing was said yet.
pub(crate) async fn recall(bus: &Bus, user: &str, audience: Audience, query: &str) -> Recalled {
    let place =
        Place { platform: "cli".into(), tenant: "t".into(), channel: "elsewhere".into(), thread: String::new() };
    let request = RecallRequest {
        conversation: ConversationId::derive(&place),
        channel: String::new(),
        principal: principal(user),
        audience,
        generation: 0,
        previous: None,
        query: query.into(),
        history_limit: 0,
        fact_limit: 35,
        relation_limit: 20,
        passage_limit: 20,
    };
    bus.request(Endpoints::MemoryRecall, &request, PATIENCE).await.unwrap()
}
