//! What is searched together. Pure.
//!
//! A person's direct conversations are one scope; each group is one of its own,
//! so that nothing said in private can be found from a group.

use std::fmt;

use domain::ids::ConversationId;
use domain::message::Audience;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    Person(String),
    Group(ConversationId),
    /// What is remembered of a person.
    Facts(String),
}

impl Scope {
    pub(crate) fn of(audience: Audience, user: &str, conversation: &ConversationId) -> Self {
        match audience {
            Audience::Direct => Scope::Person(user.to_owned()),
            Audience::Group => Scope::Group(conversation.clone()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Person(user) => write!(f, "person:{user}"),
            Scope::Group(conversation) => write!(f, "group:{conversation}"),
            Scope::Facts(user) => write!(f, "facts:{user}"),
        }
    }
}
