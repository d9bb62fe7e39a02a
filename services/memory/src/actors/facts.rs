//! What people asked her to remember: stores, finds, lists, forgets.

use std::sync::Arc;

use async_trait::async_trait;
use bus::Serve;
use domain::memory::{FACT_BYTES, FACTS, Fact, FactCommand, FactRequest, search_words};
use service_kit::clock::now_ms;

use super::projector::describe;
use crate::ports::Memory;

pub(crate) struct FactServer {
    pub(crate) memory: Arc<dyn Memory>,
}

#[async_trait]
impl Serve<FactRequest, Vec<Fact>> for FactServer {
    async fn serve(&self, request: FactRequest) -> Result<Vec<Fact>, String> {
        let user = request.principal.user.as_str();
        match request.command {
            FactCommand::Remember { id, text } => {
                let text = text.trim();
                if text.is_empty() || text.len() > FACT_BYTES {
                    return Err(format!("a memory has between 1 and {FACT_BYTES} bytes; this has {}", text.len()));
                }
                let fact = Fact { id, text: text.to_owned(), created_at_ms: now_ms() };
                Ok(vec![self.memory.remember(user, &fact).await.map_err(describe)?])
            }
            FactCommand::Search { query, limit } => {
                self.memory.search(user, &query, limit.min(FACTS as u32)).await.map_err(describe)
            }
            FactCommand::List { limit } => self.memory.list(user, limit.min(FACTS as u32)).await.map_err(describe),
            FactCommand::Forget { which } => self.forget(user, which.trim()).await,
        }
    }
}

impl FactServer {
    /// By id; else every fact that holds all the words, so that a vague word
    /// does not take more with it than was meant.
    async fn forget(&self, user: &str, which: &str) -> Result<Vec<Fact>, String> {
        let known = self.memory.list(user, FACTS as u32).await.map_err(describe)?;
        let mut ids: Vec<String> = known.iter().filter(|fact| fact.id == which).map(|fact| fact.id.clone()).collect();
        if ids.is_empty() {
            let words = search_words(which);
            if words.is_empty() {
                return Err("say which memory: its id, or words that stand in it".into());
            }
            let found = self.memory.search(user, which, FACTS as u32).await.map_err(describe)?;
            let holds_all = |fact: &Fact| {
                let text = fact.text.to_lowercase();
                words.iter().all(|word| text.contains(word.as_str()))
            };
            ids = found.into_iter().filter(holds_all).map(|fact| fact.id).collect();
        }
        self.memory.forget(user, &ids).await.map_err(describe)
    }
}
