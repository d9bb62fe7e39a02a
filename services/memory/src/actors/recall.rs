//! Answers what a turn wants to know: history and facts.

use std::sync::Arc;

use async_trait::async_trait;
use bus::{JournalStore, Serve};
use domain::memory::{FACTS, RecallRequest, Recalled};
use domain::message::Audience;

use super::projector::{describe, project};
use crate::ports::Memory;

pub(crate) struct RecallServer {
    pub(crate) memory: Arc<dyn Memory>,
    pub(crate) journals: JournalStore,
}

#[async_trait]
impl Serve<RecallRequest, Recalled> for RecallServer {
    async fn serve(&self, request: RecallRequest) -> Result<Recalled, String> {
        // The exchange before this one must be in the history. The projection
        // may not have come to it yet, so it is brought in here.
        if let Some(previous) = request.previous
            && !self.memory.has_reply(previous).await.map_err(describe)?
        {
            project(self.memory.as_ref(), &self.journals, &request.conversation, previous).await?;
        }
        let history = self.memory.history(&request).await.map_err(describe)?;
        let facts = match request.audience {
            // Facts are private: a group never sees them.
            Audience::Group => Vec::new(),
            Audience::Direct => {
                let limit = request.fact_limit.min(FACTS as u32);
                let mut facts =
                    self.memory.search(&request.principal.user, &request.query, limit).await.map_err(describe)?;
                let newest = self.memory.list(&request.principal.user, limit).await.map_err(describe)?;
                for fact in newest {
                    if facts.len() < limit as usize && !facts.iter().any(|known| known.id == fact.id) {
                        facts.push(fact);
                    }
                }
                facts
            }
        };
        Ok(Recalled { history, facts })
    }
}
