//! Sessions, as people ask for them: lists, shows, names, puts away. Everybody has their
//! own.

use std::sync::Arc;

use async_trait::async_trait;
use bus::Serve;
use domain::memory::HistoryMessage;
use domain::message::without_controls;
use domain::session::{MESSAGES, SESSIONS, SessionAnswer, SessionCommand, SessionRequest, TITLE_BYTES};

use super::projector::describe;
use crate::ports::{People, Sessions};

/// Text of one answer, in bytes: it must fit into one message.
const ANSWER_BYTES: usize = 256 * 1024;

pub(crate) struct SessionServer {
    pub(crate) sessions: Arc<dyn Sessions>,
    pub(crate) people: Arc<dyn People>,
}

#[async_trait]
impl Serve<SessionRequest, SessionAnswer> for SessionServer {
    async fn serve(&self, request: SessionRequest) -> Result<SessionAnswer, String> {
        let user = &self.people.person(&request.principal.user).await.map_err(describe)?;
        match request.command {
            SessionCommand::List { archived, before, limit } => {
                let limit = limit.min(SESSIONS);
                let sessions = self.sessions.list(user, archived, before.as_deref(), limit).await.map_err(describe)?;
                Ok(SessionAnswer { sessions, messages: Vec::new() })
            }
            SessionCommand::Show { id, skip, limit } => {
                let shown = self.one(user, &id).await?;
                let messages = self.sessions.messages(user, id.trim(), skip, limit.min(MESSAGES)).await;
                Ok(SessionAnswer { messages: fitting(messages.map_err(describe)?), ..shown })
            }
            SessionCommand::Rename { id, title } => {
                let title = without_controls(title.trim()).replace(['\n', '\t'], " ");
                if title.is_empty() || title.len() > TITLE_BYTES {
                    return Err(format!("a title has between 1 and {TITLE_BYTES} bytes; this has {}", title.len()));
                }
                self.sessions.rename(user, id.trim(), &title).await.map_err(describe)?;
                self.one(user, &id).await
            }
            SessionCommand::Archive { id, is_archived } => {
                self.sessions.archive(user, id.trim(), is_archived).await.map_err(describe)?;
                self.one(user, &id).await
            }
        }
    }
}

/// The newest messages that one answer carries: one at least.
fn fitting(mut messages: Vec<HistoryMessage>) -> Vec<HistoryMessage> {
    let (mut bytes, mut kept) = (0, 0);
    for message in messages.iter().rev() {
        bytes += message.text.len();
        if kept > 0 && bytes > ANSWER_BYTES {
            break;
        }
        kept += 1;
    }
    messages.split_off(messages.len() - kept)
}

impl SessionServer {
    async fn one(&self, user: &str, id: &str) -> Result<SessionAnswer, String> {
        let found = self.sessions.find(user, id.trim()).await.map_err(describe)?;
        let session =
            found.ok_or_else(|| format!("there is no session {id:?}: `clara session list` shows their ids"))?;
        Ok(SessionAnswer { sessions: vec![session], messages: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use domain::memory::Role;

    use super::*;

    #[test]
    fn an_answer_carries_the_newest_that_fit_and_one_at_least() {
        let said = |bytes: usize, at_ms| HistoryMessage {
            role: Role::User,
            name: String::new(),
            text: "x".repeat(bytes),
            attachments: Vec::new(),
            at_ms,
        };
        let times =
            |messages| fitting(messages).into_iter().map(|message: HistoryMessage| message.at_ms).collect::<Vec<_>>();
        assert_eq!(times(vec![said(9, 1), said(9, 2)]), [1, 2]);
        assert_eq!(times(vec![said(9, 1), said(ANSWER_BYTES - 5, 2), said(5, 3)]), [2, 3]);
        assert_eq!(times(vec![said(9, 1), said(ANSWER_BYTES * 2, 2)]), [2]);
        assert_eq!(times(vec![]), [0; 0]);
    }
}
