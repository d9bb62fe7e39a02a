//! Answers what a turn wants to know: history and facts.

use std::sync::Arc;

use async_trait::async_trait;
use bus::{JournalStore, Serve};
use domain::memory::{
    FACTS, Fact, HistoryMessage, Intention, Passage, PassageRequest, RecallRequest, Recalled, Reminder,
};
use domain::message::{Audience, Principal};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use learn::intention::{Moment, Trigger};
use service_kit::clock::now_ms;
use tracing::warn;

use super::passages::PassageServer;
use super::projector::{describe, project};
use crate::knowledge::Knowledge;
use crate::ports::{Felt, Intentions, Memory, MemoryError, Moods, People, Projects, Summaries};
use crate::search::Asked;

/// Reminders of one turn, at most.
const REMINDERS: usize = 5;

pub(crate) struct RecallServer {
    pub(crate) memory: Arc<dyn Memory>,
    pub(crate) passages: Arc<PassageServer>,
    pub(crate) knowledge: Arc<Knowledge>,
    pub(crate) summaries: Arc<dyn Summaries>,
    pub(crate) intentions: Arc<dyn Intentions>,
    pub(crate) moods: Arc<dyn Moods>,
    pub(crate) people: Arc<dyn People>,
    pub(crate) projects: Arc<dyn Projects>,
    /// The time zone of people who have named none.
    pub(crate) time_zone: TimeZone,
    pub(crate) journals: JournalStore,
}

#[async_trait]
impl Serve<RecallRequest, Recalled> for RecallServer {
    async fn serve(&self, request: RecallRequest) -> Result<Recalled, String> {
        // What was said in a conversation is known by the conversation alone.
        let ((history, summaries), person) = tokio::try_join!(self.history(&request), self.of_person(&request))?;
        let OfPerson { facts, relations, found, reminders, moods, topics } = person;
        let passages = found.into_iter().filter(|passage| !history.iter().any(|message| is_same(message, passage)));
        let passages = passages.take(request.passage_limit as usize).collect();
        let degraded = self.knowledge.is_degraded();
        Ok(Recalled { history, facts, relations, moods, topics, summaries, reminders, passages, degraded })
    }
}

/// What is known of whoever speaks.
struct OfPerson {
    facts: Vec<Fact>,
    relations: Vec<String>,
    found: Vec<Passage>,
    reminders: Vec<Reminder>,
    moods: Vec<String>,
    topics: Vec<String>,
}

fn is_same(message: &HistoryMessage, passage: &Passage) -> bool {
    message.at_ms == passage.at_ms && message.text == passage.text
}

impl RecallServer {
    /// What was said in the conversation, with summaries of what came before that.
    async fn history(&self, request: &RecallRequest) -> Result<(Vec<HistoryMessage>, Vec<String>), String> {
        let mut history = self.memory.history(request).await.map_err(describe)?;
        // The exchange before this one must be there. The projection may not have come to it
        // yet, or have come to it just now: it is brought in, and the history is read anew.
        if let Some(previous) = request.previous
            && !history.holds_previous
        {
            if !self.memory.has_reply(previous).await.map_err(describe)? {
                project(self.memory.as_ref(), &self.journals, &request.conversation, previous).await?;
            }
            history = self.memory.history(request).await.map_err(describe)?;
        }
        let messages = history.messages;
        // A conversation that stands in the history whole needs no summary.
        if (messages.len() as u64) < u64::from(request.history_limit) {
            return Ok((messages, Vec::new()));
        }
        let begins = messages.first().map_or(i64::MAX, |message| message.at_ms);
        let summaries = self.summaries.summaries(request, begins).await.map_err(describe)?;
        Ok((messages, summaries))
    }

    async fn of_person(&self, request: &RecallRequest) -> Result<OfPerson, String> {
        let user = self.people.person(&request.principal.user).await.map_err(describe)?;
        let principal = Principal { user, ..request.principal.clone() };
        let request = &RecallRequest { principal, ..request.clone() };
        let known = async {
            // Facts and passages are searched by the same question.
            let asked = self.knowledge.search.ask(&request.query).await;
            let facts = async { self.facts(request, &asked).await.map_err(describe) };
            let found = async { Ok(self.passages(request, &asked).await) };
            tokio::try_join!(facts, found)
        };
        let reminders = async { self.reminders(request).await.map_err(describe) };
        let person = async { self.person(request).await.map_err(describe) };
        let (((facts, relations), found), reminders, (moods, topics)) = tokio::try_join!(known, reminders, person)?;
        Ok(OfPerson { facts, relations, found, reminders, moods, topics })
    }

    /// What fits the question of all that was said. A turn goes on without.
    async fn passages(&self, request: &RecallRequest, asked: &Asked) -> Vec<Passage> {
        if request.passage_limit == 0 {
            return Vec::new();
        }
        let wanted = PassageRequest {
            principal: request.principal.clone(),
            group: (request.audience == Audience::Group).then(|| request.conversation.clone()),
            query: request.query.clone(),
            // Some of the best stand in the history.
            limit: request.passage_limit.saturating_add(request.history_limit),
        };
        self.passages.find(&wanted, asked).await.unwrap_or_else(|why| {
            warn!(why, "answering without earlier conversations");
            Vec::new()
        })
    }

    /// How the person felt lately, and what they come back to: for them alone.
    async fn person(&self, request: &RecallRequest) -> Result<(Vec<String>, Vec<String>), MemoryError> {
        // Without facts nothing of the person is asked for.
        if request.audience == Audience::Group || request.fact_limit == 0 {
            return Ok((Vec::new(), Vec::new()));
        }
        let (user, now) = (request.principal.user.as_str(), now_ms());
        let (felt, recurring) = tokio::try_join!(self.moods.felt(user, now), self.moods.recurring(user, now))?;
        let mood = |Felt { at_ms, title, mood }: Felt| {
            let at = Timestamp::from_millisecond(at_ms).unwrap_or_default().to_zoned(self.time_zone.clone());
            let title = if title.is_empty() { title } else { format!(", “{title}”") };
            format!("{}{title}: {}", at.strftime("%-d %B"), mood.words())
        };
        let topic = |(name, sessions): (String, u64)| format!("{name}: {sessions} conversations in two weeks");
        Ok((felt.into_iter().map(mood).collect(), recurring.into_iter().map(topic).collect()))
    }

    /// What the person wants to be reminded of now: what they say, or the time, fires it.
    async fn reminders(&self, request: &RecallRequest) -> Result<Vec<Reminder>, MemoryError> {
        // What somebody wants to be reminded of is private.
        if request.audience == Audience::Group {
            return Ok(Vec::new());
        }
        let now = now_ms();
        let waiting = self.intentions.waiting(&request.principal.user, now).await?;
        let at = Timestamp::from_millisecond(now).unwrap_or_default().to_zoned(self.time_zone.clone());
        let moment = Moment { said: &request.query, now: &at, is_direct: true, channel: &request.channel };
        let fires =
            |intention: &Intention| Trigger::parse(&intention.trigger).is_ok_and(|trigger| trigger.fires(&moment));
        let fired = waiting.into_iter().filter(fires).take(REMINDERS);
        Ok(fired.map(|intention| Reminder { id: intention.id, content: intention.content }).collect())
    }

    /// What a prompt holds of what is remembered of the person, and the relations
    /// that matter.
    async fn facts(&self, request: &RecallRequest, asked: &Asked) -> Result<(Vec<Fact>, Vec<String>), MemoryError> {
        let RecallRequest { audience, query, .. } = request;
        let (user, limit) = (request.principal.user.as_str(), request.fact_limit.min(FACTS as u32));
        let project = self.projects.project(user, &request.conversation).await?;
        let facts = self.knowledge.recall(user, *audience, &project, asked, limit).await?;
        if facts.is_empty() {
            return Ok((facts, Vec::new()));
        }
        Ok((facts, self.knowledge.relations(user, *audience, &project, query, request.relation_limit).await?))
    }
}
