//! What tests ask the memory service, over the bus.

use std::time::Duration;

use bus::{Bus, Endpoints, Subject, TerminalLog};
use domain::attachment::Attachment;
use domain::ids::{ConversationId, MessageId, Place};
use domain::memory::{Fact, FactAnswer, FactCommand, FactRequest, RecallRequest, Recalled};
use domain::message::{Audience, Event, Inbound, Principal, Route, UserMessage};
use domain::turn::Reply;
use testkit::{DEADLINE, eventually};

/// Who speaks in a terminal.
pub(crate) const ANN: &str = "cli-user";

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

/// The texts and ids of what is known of a person, newest first.
pub(crate) async fn facts(bus: &Bus, user: &str) -> Vec<(String, String)> {
    list(bus, user).await.into_iter().map(|fact| (fact.text, fact.id)).collect()
}

pub(crate) async fn texts(bus: &Bus, user: &str) -> Vec<String> {
    facts(bus, user).await.into_iter().map(|(text, _)| text).collect()
}

/// Waits until exactly this is known, newest first, and gives the ids.
pub(crate) async fn known(bus: &Bus, user: &str, expected: &[&str]) -> Vec<String> {
    eventually("exactly what was expected is known", async || {
        let facts = facts(bus, user).await;
        facts
            .iter()
            .map(|(text, _)| text.as_str())
            .eq(expected.iter().copied())
            .then(|| facts.into_iter().map(|(_, id)| id).collect())
    })
    .await
}

/// The texts of facts and passages that a turn would be told.
pub(crate) async fn told(bus: &Bus, user: &str, audience: Audience, query: &str) -> Vec<String> {
    let Recalled { facts, passages, .. } = recall(bus, user, audience, query).await;
    facts.into_iter().map(|fact| fact.text).chain(passages.into_iter().map(|said| said.text)).collect()
}

/// A group that exists on the bus alone.
pub(crate) struct Group {
    pub(crate) conversation: ConversationId,
    replies: TerminalLog,
}

impl Group {
    pub(crate) async fn join(bus: &Bus) -> Self {
        let place = Place { channel: "group".into(), ..elsewhere() };
        let conversation = ConversationId::derive(&place);
        let replies = bus.follow_replies(&conversation, None).await.unwrap();
        Self { conversation, replies }
    }

    /// What somebody says there, with what they bring. Each says it once.
    pub(crate) async fn says(&self, bus: &Bus, user: &str, text: &str, attachments: Vec<Attachment>) {
        let message = UserMessage {
            id: MessageId::new("cli", &format!("{user}-{text}").replace(' ', "-")).unwrap(),
            speaker: principal(user),
            text: text.into(),
            attachments,
            tier: None,
            sent_at_ms: service_kit::clock::now_ms(),
        };
        let route = Route { platform: "cli".into(), channel: "group".into(), audience: Audience::Group, parent: None };
        let event = Event::MessageReceived(message);
        let inbound = Inbound { conversation: self.conversation.clone(), route: Some(route), event };
        bus.accept(Subject::Inbound(&self.conversation), &inbound.publish_id(), &inbound).await.unwrap();
    }

    pub(crate) async fn hears(&mut self) -> Reply {
        tokio::time::timeout(DEADLINE, self.replies.next()).await.unwrap().unwrap().1
    }
}

fn elsewhere() -> Place {
    Place { platform: "cli".into(), tenant: "t".into(), channel: "elsewhere".into(), thread: String::new() }
}

/// What a turn that begins with this would be told, in a conversation where nothing was said yet.
pub(crate) async fn recall(bus: &Bus, user: &str, audience: Audience, query: &str) -> Recalled {
    recall_in(bus, &ConversationId::derive(&elsewhere()), user, audience, query).await
}

/// The same in a conversation, with all of its summaries.
pub(crate) async fn recall_in(
    bus: &Bus,
    conversation: &ConversationId,
    user: &str,
    audience: Audience,
    query: &str,
) -> Recalled {
    let request = RecallRequest {
        conversation: conversation.clone(),
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
