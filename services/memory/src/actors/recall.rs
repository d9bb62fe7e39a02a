//! Answers what a turn wants to know: history and facts.

use std::sync::Arc;

use async_trait::async_trait;
use bus::{JournalStore, Serve};
use domain::memory::{FACTS, Fact, RecallRequest, Recalled};
use domain::message::Audience;

use super::projector::{describe, project};
use crate::ports::{Memory, MemoryError};

pub(crate) struct RecallServer {
    pub(crate) memory: Arc<dyn Memory>,
    pub(crate) journals: JournalStore,
}

#[async_trait]
impl Serve<RecallRequest, Recalled> for RecallServer {
    async fn serve(&self, request: RecallRequest) -> Result<Recalled, String> {
        // The exchange before this one must be in the history. The projection
        // may not have come to it yet, so it is brought in here.
        let is_projected = async {
            match request.previous {
                Some(previous) => self.memory.has_reply(previous).await,
                None => Ok(true),
            }
        };
        let all = tokio::try_join!(is_projected, self.memory.history(&request), self.facts(&request));
        let (is_projected, mut history, facts) = all.map_err(describe)?;
        if let (false, Some(previous)) = (is_projected, request.previous) {
            project(self.memory.as_ref(), &self.journals, &request.conversation, previous).await?;
            history = self.memory.history(&request).await.map_err(describe)?;
        }
        Ok(Recalled { history, facts })
    }
}

impl RecallServer {
    /// What fits the question, then what is newest.
    async fn facts(&self, request: &RecallRequest) -> Result<Vec<Fact>, MemoryError> {
        // Facts are private: a group never sees them.
        if request.audience == Audience::Group {
            return Ok(Vec::new());
        }
        let (user, limit) = (&request.principal.user, request.fact_limit.min(FACTS as u32));
        let newest = self.memory.list(user, limit).await?;
        if newest.is_empty() {
            return Ok(newest);
        }
        Ok(merge(self.memory.search(user, &request.query, limit).await?, newest, limit))
    }
}

fn merge(mut found: Vec<Fact>, newest: Vec<Fact>, limit: u32) -> Vec<Fact> {
    for fact in newest {
        if found.len() < limit as usize && !found.iter().any(|known| known.id == fact.id) {
            found.push(fact);
        }
    }
    found
}
