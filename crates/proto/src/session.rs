//! Sessions, and what is asked of them.

use domain::session::{Session, SessionAnswer, SessionCommand, SessionRequest};

use crate::fields::{self, all, raws, required};
use crate::{InvalidMessage, v1, wire};

wire!(SessionRequest as v1::SessionRequest);
wire!(SessionAnswer as v1::SessionAnswer);

impl From<&Session> for v1::Session {
    fn from(value: &Session) -> Self {
        let Session { id, title, summary, project, started_at_ms, last_activity_at_ms, messages, is_archived } =
            value.clone();
        Self { id, title, summary, project, started_at_ms, last_activity_at_ms, messages, is_archived }
    }
}

impl From<v1::Session> for Session {
    fn from(raw: v1::Session) -> Self {
        let v1::Session { id, title, summary, project, started_at_ms, last_activity_at_ms, messages, is_archived } =
            raw;
        Self { id, title, summary, project, started_at_ms, last_activity_at_ms, messages, is_archived }
    }
}

impl From<&SessionAnswer> for v1::SessionAnswer {
    fn from(value: &SessionAnswer) -> Self {
        Self { sessions: raws(&value.sessions), messages: raws(&value.messages) }
    }
}

impl TryFrom<v1::SessionAnswer> for SessionAnswer {
    type Error = InvalidMessage;
    fn try_from(raw: v1::SessionAnswer) -> Result<Self, InvalidMessage> {
        Ok(Self { sessions: raw.sessions.into_iter().map(Into::into).collect(), messages: all(raw.messages)? })
    }
}

impl From<&SessionRequest> for v1::SessionRequest {
    fn from(value: &SessionRequest) -> Self {
        use v1::session_request::*;
        let command = match value.command.clone() {
            SessionCommand::List { archived, before, limit } => {
                Command::List(List { archived, before: before.unwrap_or_default(), limit })
            }
            SessionCommand::Show { id, skip, limit } => Command::Show(Show { id, skip, limit }),
            SessionCommand::Rename { id, title } => Command::Rename(Rename { id, title }),
            SessionCommand::Archive { id, is_archived } => Command::Archive(Archive { id, is_archived }),
        };
        Self { principal: Some((&value.principal).into()), command: Some(command) }
    }
}

impl TryFrom<v1::SessionRequest> for SessionRequest {
    type Error = InvalidMessage;
    fn try_from(raw: v1::SessionRequest) -> Result<Self, InvalidMessage> {
        use v1::session_request::*;
        let command = match required(raw.command, "command")? {
            Command::List(List { archived, before, limit }) => {
                SessionCommand::List { archived, before: fields::optional_text(before), limit }
            }
            Command::Show(Show { id, skip, limit }) => SessionCommand::Show { id, skip, limit },
            Command::Rename(Rename { id, title }) => SessionCommand::Rename { id, title },
            Command::Archive(Archive { id, is_archived }) => SessionCommand::Archive { id, is_archived },
        };
        Ok(Self { principal: required(raw.principal, "principal")?.try_into()?, command })
    }
}
