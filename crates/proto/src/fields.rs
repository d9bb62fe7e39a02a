//! Reading one field: its value, or a fault that names it.

use domain::ids::{CallId, ConversationId, FileId, InvalidId, MessageId, TurnId};

use crate::InvalidMessage;

pub(crate) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, InvalidMessage> {
    value.ok_or(InvalidMessage::Missing(field))
}

fn parsed<T>(value: Result<T, InvalidId>, field: &'static str) -> Result<T, InvalidMessage> {
    value.map_err(|source| InvalidMessage::Invalid { field, source })
}

pub(crate) fn conversation(text: &str) -> Result<ConversationId, InvalidMessage> {
    parsed(ConversationId::parse(text), "conversation")
}

pub(crate) fn turn(text: &str) -> Result<TurnId, InvalidMessage> {
    parsed(TurnId::parse(text), "turn")
}

pub(crate) fn optional_turn(text: &str) -> Result<Option<TurnId>, InvalidMessage> {
    if text.is_empty() { Ok(None) } else { turn(text).map(Some) }
}

pub(crate) fn optional_turn_text(turn: Option<TurnId>) -> String {
    turn.map(|turn| turn.to_string()).unwrap_or_default()
}

pub(crate) fn call(text: &str) -> Result<CallId, InvalidMessage> {
    parsed(CallId::parse(text), "call")
}

pub(crate) fn file(text: &str) -> Result<FileId, InvalidMessage> {
    parsed(FileId::parse(text), "file")
}

pub(crate) fn message(text: &str) -> Result<MessageId, InvalidMessage> {
    parsed(MessageId::parse(text), "message id")
}

pub(crate) fn messages(texts: &[String]) -> Result<Vec<MessageId>, InvalidMessage> {
    texts.iter().map(|text| message(text)).collect()
}

pub(crate) fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

pub(crate) fn optional_text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Converts every item, stopping at the first fault.
pub(crate) fn all<A, B>(items: Vec<A>) -> Result<Vec<B>, InvalidMessage>
where
    B: TryFrom<A, Error = InvalidMessage>,
{
    items.into_iter().map(B::try_from).collect()
}

/// Converts every item by reference.
pub(crate) fn raws<'a, A: 'a, B: From<&'a A>>(items: impl IntoIterator<Item = &'a A>) -> Vec<B> {
    items.into_iter().map(B::from).collect()
}

/// Maps a domain enum to its generated one and back. Unspecified and unknown
/// numbers are faults: a value from a newer build is not guessed.
macro_rules! wire_enum {
    ($domain:ty as $raw:ident, $field:literal, { $($value:ident => $other:ident),+ $(,)? }) => {
        impl From<&$domain> for crate::v1::$raw {
            fn from(value: &$domain) -> Self {
                match value { $(<$domain>::$value => crate::v1::$raw::$other),+ }
            }
        }
        impl TryFrom<crate::v1::$raw> for $domain {
            type Error = crate::InvalidMessage;
            fn try_from(raw: crate::v1::$raw) -> Result<Self, Self::Error> {
                match raw {
                    $(crate::v1::$raw::$other => Ok(<$domain>::$value),)+
                    crate::v1::$raw::Unspecified => Err(crate::InvalidMessage::Missing($field)),
                }
            }
        }
    };
}
pub(crate) use wire_enum;
