//! Finds what was said.

use std::sync::Arc;

use async_trait::async_trait;
use bus::Serve;
use domain::guard::cut_middle;
use domain::memory::{PASSAGE_BYTES, PASSAGES, Passage, PassageRequest};

use super::projector::describe;
use crate::indexes::{Found, Repetitions};
use crate::ports::{Passages, People};
use crate::scope::Scope;
use crate::search::{Asked, Search};

pub(crate) struct PassageServer {
    pub(crate) passages: Arc<dyn Passages>,
    pub(crate) search: Arc<Search>,
    pub(crate) people: Arc<dyn People>,
}

#[async_trait]
impl Serve<PassageRequest, Vec<Passage>> for PassageServer {
    async fn serve(&self, mut request: PassageRequest) -> Result<Vec<Passage>, String> {
        request.principal.user = self.people.person(&request.principal.user).await.map_err(describe)?;
        let asked = self.search.ask(&request.query).await;
        self.find(&request, &asked).await
    }
}

impl PassageServer {
    /// What fits a question, of what the request says may be searched; its principal is a
    /// person, not an account.
    pub(crate) async fn find(&self, request: &PassageRequest, asked: &Asked) -> Result<Vec<Passage>, String> {
        let user = request.principal.user.as_str();
        let scope = match &request.group {
            Some(conversation) => Scope::Group(conversation.clone()),
            None => Scope::Person(user.to_owned()),
        };
        if !self.passages.is_participant(&scope, user).await.map_err(describe)? {
            return Err("you have said nothing in that conversation".to_owned());
        }
        let limit = (request.limit as usize).min(PASSAGES);
        let found = self.search.find(&scope, asked, (limit, Repetitions::Behind)).await.map_err(describe)?;
        Ok(found.into_iter().map(given).collect())
    }
}

fn given(found: Found) -> Passage {
    let Found { id, speaker, text, at_ms, .. } = found;
    let text = if text.len() > PASSAGE_BYTES { cut_middle(&text, PASSAGE_BYTES / 4) } else { text };
    Passage { id, speaker, text, at_ms }
}
