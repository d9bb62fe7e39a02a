//! Answers what a turn wants to know: history and facts.

use std::sync::Arc;

use async_trait::async_trait;
use bus::{JournalStore, Serve};
use domain::memory::{FACTS, Fact, HistoryMessage, Passage, PassageRequest, RecallRequest, Recalled};
use domain::message::Audience;
use tracing::warn;

use super::passages::PassageServer;
use super::projector::{describe, project};
use crate::knowledge::Knowledge;
use crate::ports::{Memory, MemoryError};

pub(crate) struct RecallServer {
    pub(crate) memory: Arc<dyn Memory>,
    pub(crate) passages: Arc<PassageServer>,
    pub(crate) knowledge: Arc<Knowledge>,
    pub(crate) journals: JournalStore,
}

#[async_trait]
impl Serve<RecallRequest, Recalled> for RecallServer {
    async fn serve(&self, request: RecallRequest) -> Result<Recalled, String> {
        let history = async {
            // The exchange before this one must be there. The projection may not
            // have come to it yet, so it is brought in here: before the history
            // is read, since one that is read meanwhile may lack it.
            if let Some(previous) = request.previous
                && !self.memory.has_reply(previous).await.map_err(describe)?
            {
                project(self.memory.as_ref(), &self.journals, &request.conversation, previous).await?;
            }
            self.memory.history(&request).await.map_err(describe)
        };
        let facts = async { self.facts(&request).await.map_err(describe) };
        let found = async { Ok(self.passages(&request).await) };
        let (history, facts, found) = tokio::try_join!(history, facts, found)?;
        let passages = found.into_iter().filter(|passage| !history.iter().any(|message| is_same(message, passage)));
        let passages = passages.take(request.passage_limit as usize).collect();
        Ok(Recalled { history, facts, passages })
    }
}

fn is_same(message: &HistoryMessage, passage: &Passage) -> bool {
    message.at_ms == passage.at_ms && message.text == passage.text
}

impl RecallServer {
    /// What fits the question of all that was said. A turn goes on without.
    async fn passages(&self, request: &RecallRequest) -> Vec<Passage> {
        if request.passage_limit == 0 {
            return Vec::new();
        }
        let asked = PassageRequest {
            principal: request.principal.clone(),
            group: (request.audience == Audience::Group).then(|| request.conversation.clone()),
            query: request.query.clone(),
            // Some of the best stand in the history.
            limit: request.passage_limit.saturating_add(request.history_limit),
        };
        self.passages.find(&asked).await.unwrap_or_else(|why| {
            warn!(why, "answering without earlier conversations");
            Vec::new()
        })
    }

    /// What a prompt holds of what is remembered of the person.
    async fn facts(&self, request: &RecallRequest) -> Result<Vec<Fact>, MemoryError> {
        let limit = request.fact_limit.min(FACTS as u32);
        self.knowledge.recall(&request.principal.user, request.audience, &request.query, limit).await
    }
}
