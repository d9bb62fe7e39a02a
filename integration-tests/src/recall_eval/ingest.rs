//! From a conversation to the memory service: a journal for each session, one
//! after the other, as turns of a group would leave them.

use std::time::Duration;

use bus::{Bus, Endpoints};
use domain::ids::{ConversationId, MessageId, Place, TurnId};
use domain::journal::Entry;
use domain::memory::{Passage, PassageRequest, RecallRequest, Recalled};
use domain::message::{Audience, Principal, Route, UserMessage};
use domain::tier::Tier;
use domain::turn::{Reply, ReplyKind, TurnContext, TurnRequest};

use super::dataset::{Sample, Session};

/// How long the memory service may take for one answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two messages of a session, in milliseconds.
const BETWEEN_MS: i64 = 20_000;

/// A conversation that the memory service knows.
pub struct Ingested {
    bus: Bus,
    conversation: ConversationId,
    asking: Principal,
}

fn principal(name: &str) -> Principal {
    Principal { user: format!("eval-{}", name.to_lowercase()), name: name.to_owned(), tenant: "eval".into() }
}

/// Brings a conversation in.
pub async fn ingest(bus: &Bus, sample: &Sample) -> anyhow::Result<Ingested> {
    let (platform, channel) = ("eval".to_owned(), sample.name.clone());
    let place =
        Place { platform: platform.clone(), tenant: "eval".into(), channel: channel.clone(), thread: String::new() };
    let conversation = ConversationId::derive(&place);
    let route = Route { platform, channel, audience: Audience::Group, parent: None };
    let ingested = Ingested { bus: bus.clone(), conversation, asking: principal(&sample.speakers[0]) };
    for session in sample.sessions.iter().filter(|session| !session.said.is_empty()) {
        let turn = ingested.write_journal(session, &route).await?;
        ingested.wait_for(turn).await?;
    }
    Ok(ingested)
}

impl Ingested {
    async fn write_journal(&self, session: &Session, route: &Route) -> anyhow::Result<TurnId> {
        let mut messages = Vec::new();
        for (said, number) in session.said.iter().zip(0..) {
            messages.push(UserMessage {
                id: MessageId::parse(&format!("eval:{}", said.id))?,
                speaker: principal(&said.speaker),
                text: said.text.clone(),
                attachments: Vec::new(),
                tier: None,
                sent_at_ms: session.at_ms + number * BETWEEN_MS,
            });
        }
        let last = messages.last().map_or(session.at_ms, |message| message.sent_at_ms);
        let turn = TurnId::derive(&self.conversation, &messages[0].id);
        let request = TurnRequest {
            turn,
            conversation: self.conversation.clone(),
            route: route.clone(),
            messages,
            previous: None,
            discussion_tier: None,
            generation: 0,
            origin: None,
            model: None,
            approval: domain::approval::ApprovalMode::Auto,
        };
        // She was there, and said nothing.
        let reply = Reply {
            turn,
            conversation: self.conversation.clone(),
            route: route.clone(),
            answers: request.answers(),
            kind: ReplyKind::Answered,
            text: String::new(),
            notices: Vec::new(),
            tier: Tier::Low,
            usage: Default::default(),
            tool_calls: 0,
            asks: None,
        };
        let context = TurnContext {
            request,
            system: "".into(),
            messages: Vec::new(),
            tools: Vec::new().into(),
            later: Vec::new().into(),
            found: Vec::new(),
            tier: Tier::Low,
            recalled: Vec::new(),
            passages: Vec::new(),
            reminders: Vec::new(),
            notices: Vec::new(),
            is_tainted: false,
            room: usize::MAX,
            rules: Vec::new(),
            done: Vec::new(),
        };
        let mut journal = self.bus.journals().await?.read(&self.conversation, turn).await?;
        journal.claim("eval", 0, vec![Entry::ContextFixed(std::sync::Arc::new(context))], session.at_ms).await?;
        journal.append(vec![Entry::ReplyReady(Box::new(reply))], last).await?;
        Ok(turn)
    }

    /// Waits until a turn is in the history, as the next turn of a chat would.
    async fn wait_for(&self, turn: TurnId) -> anyhow::Result<()> {
        let request = RecallRequest {
            conversation: self.conversation.clone(),
            channel: String::new(),
            principal: self.asking.clone(),
            audience: Audience::Group,
            generation: 0,
            previous: Some(turn),
            query: String::new(),
            history_limit: 1,
            fact_limit: 0,
            relation_limit: 0,
            passage_limit: 0,
        };
        let _: Recalled = self.bus.request(Endpoints::MemoryRecall, &request, PATIENCE).await?;
        Ok(())
    }

    /// The ids of what was said that answers a question, best first.
    pub async fn search(&self, question: &str, limit: u32) -> anyhow::Result<Vec<String>> {
        let request = PassageRequest {
            principal: self.asking.clone(),
            group: Some(self.conversation.clone()),
            query: question.to_owned(),
            limit,
        };
        let found: Vec<Passage> = self.bus.request(Endpoints::MemoryPassages, &request, PATIENCE).await?;
        let prefix = format!("{}/eval:", self.conversation);
        Ok(found.iter().filter_map(|passage| passage.id.strip_prefix(&prefix)).map(str::to_owned).collect())
    }
}
