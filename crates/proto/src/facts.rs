//! Facts, and what is done with them.

use domain::memory::{
    Asking, Count, Fact, FactAnswer, FactChange, FactCommand, FactOrigin, FactRequest, Intention, Searched,
};

use crate::fields::{self, raws, required};
use crate::{InvalidMessage, v1, wire};

wire!(FactRequest as v1::FactRequest);
wire!(FactAnswer as v1::FactAnswer);

impl From<&Fact> for v1::Fact {
    fn from(value: &Fact) -> Self {
        Self {
            id: value.id.clone(),
            text: value.text.clone(),
            created_at_ms: value.created_at_ms,
            updated_at_ms: value.updated_at_ms,
            category: value.category.clone(),
            is_key: value.is_key,
            is_public: value.is_public,
            origin: value.origin.as_str().to_owned(),
            confidence: value.confidence,
            project: value.project.clone(),
        }
    }
}

impl From<v1::Fact> for Fact {
    fn from(raw: v1::Fact) -> Self {
        Self {
            updated_at_ms: if raw.updated_at_ms == 0 { raw.created_at_ms } else { raw.updated_at_ms },
            origin: FactOrigin::parse(&raw.origin).unwrap_or(FactOrigin::Asked),
            confidence: if raw.confidence == 0 { 100 } else { raw.confidence },
            id: raw.id,
            text: raw.text,
            created_at_ms: raw.created_at_ms,
            category: raw.category,
            is_key: raw.is_key,
            is_public: raw.is_public,
            project: raw.project,
        }
    }
}

impl From<&FactChange> for v1::FactChange {
    fn from(value: &FactChange) -> Self {
        Self {
            at_ms: value.at_ms,
            event: value.event.clone(),
            old: value.old.clone(),
            new: value.new.clone(),
            actor: value.actor.clone(),
            reason: value.reason.clone(),
        }
    }
}

impl From<v1::FactChange> for FactChange {
    fn from(raw: v1::FactChange) -> Self {
        let v1::FactChange { at_ms, event, old, new, actor, reason } = raw;
        Self { at_ms, event, old, new, actor, reason }
    }
}

impl From<&Searched> for v1::Searched {
    fn from(value: &Searched) -> Self {
        Self { store: value.store.clone(), found: value.found }
    }
}

impl From<v1::Searched> for Searched {
    fn from(raw: v1::Searched) -> Self {
        Self { store: raw.store, found: raw.found }
    }
}

impl From<&Count> for v1::Count {
    fn from(value: &Count) -> Self {
        Self { name: value.name.clone(), value: value.value }
    }
}

impl From<v1::Count> for Count {
    fn from(raw: v1::Count) -> Self {
        Self { name: raw.name, value: raw.value }
    }
}

impl From<&Intention> for v1::Intention {
    fn from(value: &Intention) -> Self {
        let Intention { id, content, trigger, priority, fires_once, expires_at_ms } = value.clone();
        Self { id, content, trigger, priority, fires_once, expires_at_ms }
    }
}

impl From<v1::Intention> for Intention {
    fn from(raw: v1::Intention) -> Self {
        let v1::Intention { id, content, trigger, priority, fires_once, expires_at_ms } = raw;
        Self { id, content, trigger, priority, fires_once, expires_at_ms }
    }
}

impl From<&FactAnswer> for v1::FactAnswer {
    fn from(value: &FactAnswer) -> Self {
        Self {
            facts: raws(&value.facts),
            changes: raws(&value.changes),
            sources: raws(&value.sources),
            proof: raws(&value.proof),
            counts: raws(&value.counts),
            intentions: raws(&value.intentions),
            accounts: value.accounts.clone(),
            project: value.project.clone(),
        }
    }
}

impl TryFrom<v1::FactAnswer> for FactAnswer {
    type Error = InvalidMessage;
    fn try_from(raw: v1::FactAnswer) -> Result<Self, InvalidMessage> {
        Ok(Self {
            facts: raw.facts.into_iter().map(Into::into).collect(),
            changes: raw.changes.into_iter().map(Into::into).collect(),
            sources: raw.sources.into_iter().map(Into::into).collect(),
            proof: raw.proof.into_iter().map(Into::into).collect(),
            counts: raw.counts.into_iter().map(Into::into).collect(),
            intentions: raw.intentions.into_iter().map(Into::into).collect(),
            accounts: raw.accounts,
            project: raw.project,
        })
    }
}

impl From<&FactRequest> for v1::FactRequest {
    fn from(value: &FactRequest) -> Self {
        use v1::fact_request::*;
        let command = match value.command.clone() {
            FactCommand::Remember { id, text, is_key, project } => {
                Command::Remember(Remember { id, text, is_key, project })
            }
            FactCommand::Search { query, limit } => Command::Search(Search { query, limit }),
            FactCommand::List { limit, before, project } => {
                Command::List(List { limit, before: before.unwrap_or_default(), project })
            }
            FactCommand::Forget { which } => Command::Forget(Forget { which }),
            FactCommand::Show { id } => Command::Show(Show { id }),
            FactCommand::Edit { id, text } => Command::Edit(Edit { id, text }),
            FactCommand::Mark { id, is_key, is_public, project } => {
                Command::Mark(Mark { id, is_key, is_public, project })
            }
            FactCommand::Undo { id } => Command::Undo(Undo { id }),
            FactCommand::Clear => Command::Clear(Clear {}),
            FactCommand::Learn { text, apply } => Command::Learn(Learn { text, apply }),
            FactCommand::Import { facts } => Command::Import(Import { facts: raws(&facts) }),
            FactCommand::Stats => Command::Stats(Stats {}),
            FactCommand::Reindex => Command::Reindex(Reindex {}),
            FactCommand::Intend { intention } => Command::Intend((&intention).into()),
            FactCommand::Intentions => Command::Intentions(Intentions {}),
            FactCommand::Dismiss { id } => Command::Dismiss(Dismiss { id }),
            FactCommand::Link { account } => Command::Link(Link { account }),
            FactCommand::Unlink => Command::Unlink(Unlink {}),
            FactCommand::Links => Command::Links(Links {}),
            FactCommand::Enter { conversation, project } => {
                Command::Enter(Enter { conversation: conversation.to_string(), project })
            }
            FactCommand::Projects { conversation } => Command::Projects(Projects {
                conversation: conversation.map(|conversation| conversation.to_string()).unwrap_or_default(),
            }),
        };
        let (conversation, turn, after) = match &value.asking {
            Some(Asking { conversation, turn, after }) => {
                (conversation.to_string(), turn.to_string(), fields::optional_turn_text(*after))
            }
            None => Default::default(),
        };
        Self { principal: Some((&value.principal).into()), conversation, turn, after, command: Some(command) }
    }
}

impl TryFrom<v1::FactRequest> for FactRequest {
    type Error = InvalidMessage;
    fn try_from(raw: v1::FactRequest) -> Result<Self, InvalidMessage> {
        use v1::fact_request::*;
        let command = match required(raw.command, "command")? {
            Command::Remember(Remember { id, text, is_key, project }) => {
                FactCommand::Remember { id, text, is_key, project }
            }
            Command::Search(Search { query, limit }) => FactCommand::Search { query, limit },
            Command::List(List { limit, before, project }) => {
                FactCommand::List { limit, before: fields::optional_text(before), project }
            }
            Command::Forget(Forget { which }) => FactCommand::Forget { which },
            Command::Show(Show { id }) => FactCommand::Show { id },
            Command::Edit(Edit { id, text }) => FactCommand::Edit { id, text },
            Command::Mark(Mark { id, is_key, is_public, project }) => {
                FactCommand::Mark { id, is_key, is_public, project }
            }
            Command::Undo(Undo { id }) => FactCommand::Undo { id },
            Command::Clear(Clear {}) => FactCommand::Clear,
            Command::Learn(Learn { text, apply }) => FactCommand::Learn { text, apply },
            Command::Import(Import { facts }) => {
                FactCommand::Import { facts: facts.into_iter().map(Into::into).collect() }
            }
            Command::Stats(Stats {}) => FactCommand::Stats,
            Command::Reindex(Reindex {}) => FactCommand::Reindex,
            Command::Intend(intention) => FactCommand::Intend { intention: intention.into() },
            Command::Intentions(Intentions {}) => FactCommand::Intentions,
            Command::Dismiss(Dismiss { id }) => FactCommand::Dismiss { id },
            Command::Link(Link { account }) => FactCommand::Link { account },
            Command::Unlink(Unlink {}) => FactCommand::Unlink,
            Command::Links(Links {}) => FactCommand::Links,
            Command::Enter(Enter { conversation, project }) => {
                FactCommand::Enter { conversation: fields::conversation(&conversation)?, project }
            }
            Command::Projects(Projects { conversation }) => {
                let conversation = fields::optional_text(conversation);
                let conversation = conversation.map(|id| fields::conversation(&id)).transpose()?;
                FactCommand::Projects { conversation }
            }
        };
        let asking = match fields::optional_turn(&raw.turn)? {
            Some(turn) => {
                let (conversation, after) =
                    (fields::conversation(&raw.conversation)?, fields::optional_turn(&raw.after)?);
                Some(Asking { conversation, turn, after })
            }
            None => None,
        };
        Ok(Self { principal: required(raw.principal, "principal")?.try_into()?, asking, command })
    }
}
