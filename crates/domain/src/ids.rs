//! Identifiers: how they are derived, how they are written, how they are read.
//!
//! Ids are derived from what the platform sent, never from a stream sequence:
//! a stream can be recreated, and the same message must then still be the same
//! turn. A platform's own id never enters a subject; it is hashed first.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// How many partitions the inbound stream has. Written once to `CLARA_META`;
/// a service that disagrees with what is written there refuses to start.
pub const PARTITIONS: u16 = 64;

/// Longest message id that is accepted, in bytes.
pub const MESSAGE_ID_BYTES: usize = 256;

/// An id that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind} id")]
pub struct InvalidId {
    kind: &'static str,
    text: String,
}

impl InvalidId {
    fn new(kind: &'static str, text: &str) -> Self {
        Self { kind, text: text.chars().take(80).collect() }
    }
}

/// Where a conversation takes place, in the platform's own words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    pub platform: String,
    pub tenant: String,
    pub channel: String,
    pub thread: String,
}

/// A conversation: 26 characters of base32 over BLAKE3-128 of its [`Place`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConversationId(String);

impl ConversationId {
    /// Derives the id. Parts are length-prefixed, so no two places collide by
    /// moving a character from one part to the next.
    pub fn derive(place: &Place) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [&place.platform, &place.tenant, &place.channel, &place.thread] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self(BASE32_NOPAD.encode(&hasher.finalize().as_bytes()[..16]))
    }

    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        match BASE32_NOPAD.decode(text.as_bytes()) {
            Ok(bytes) if bytes.len() == 16 => Ok(Self(text.to_owned())),
            _ => Err(InvalidId::new("conversation", text)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition of the inbound stream that keeps this conversation's order.
    pub fn partition(&self) -> u16 {
        (xxh3_64(self.0.as_bytes()) % u64::from(PARTITIONS)) as u16
    }

    fn bytes(&self) -> [u8; 16] {
        let mut out = [0; 16];
        if let Ok(bytes) = BASE32_NOPAD.decode(self.0.as_bytes()) {
            out.copy_from_slice(&bytes[..16]);
        }
        out
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message as its platform names it: `<platform>:<platform message id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(String);

impl MessageId {
    pub fn new(platform: &str, platform_id: &str) -> Result<Self, InvalidId> {
        Self::parse(&format!("{platform}:{platform_id}"))
    }

    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let well_formed = text.len() <= MESSAGE_ID_BYTES
            && text.split_once(':').is_some_and(|(platform, id)| !platform.is_empty() && !id.is_empty())
            && !text.chars().any(char::is_control);
        if well_formed { Ok(Self(text.to_owned())) } else { Err(InvalidId::new("message", text)) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A turn: `UUIDv5(conversation, id of the first message it answers)` (RFC 9562).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TurnId(Uuid);

impl TurnId {
    pub fn derive(conversation: &ConversationId, first: &MessageId) -> Self {
        Self(Uuid::new_v5(&Uuid::from_bytes(conversation.bytes()), first.0.as_bytes()))
    }

    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        Uuid::parse_str(text).map(Self).map_err(|_| InvalidId::new("turn", text))
    }
}

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_hyphenated())
    }
}

/// One tool call of a turn: `<turn>.<step>.<index>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId {
    pub turn: TurnId,
    pub step: u32,
    pub index: u32,
}

impl CallId {
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId::new("call", text);
        let mut parts = text.splitn(3, '.');
        let mut next = || parts.next().ok_or_else(invalid);
        Ok(Self {
            turn: TurnId::parse(next()?)?,
            step: next()?.parse().map_err(|_| invalid())?,
            index: next()?.parse().map_err(|_| invalid())?,
        })
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.turn, self.step, self.index)
    }
}

/// A file that came with a message: BLAKE3-128 of what it holds, in hexadecimal.
/// Unique within its conversation, and no more: whoever holds an id alone holds
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(String);

impl FileId {
    const CHARS: usize = 32;

    pub fn of(bytes: &[u8]) -> Self {
        let mut hex = blake3::hash(bytes).to_hex().to_string();
        hex.truncate(Self::CHARS);
        Self(hex)
    }

    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let well_formed = text.len() == Self::CHARS && text.chars().all(is_hex);
        if well_formed { Ok(Self(text.to_owned())) } else { Err(InvalidId::new("file", text)) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(channel: &str, thread: &str) -> Place {
        Place { platform: "cli".into(), tenant: "home".into(), channel: channel.into(), thread: thread.into() }
    }

    #[test]
    fn conversation_id_is_26_characters_and_stable() {
        let id = ConversationId::derive(&place("main", ""));
        assert_eq!(id.as_str().len(), 26);
        assert_eq!(id, ConversationId::derive(&place("main", "")));
        assert_eq!(ConversationId::parse(id.as_str()), Ok(id));
    }

    #[test]
    fn moving_a_character_between_parts_gives_another_conversation() {
        assert_ne!(ConversationId::derive(&place("ab", "c")), ConversationId::derive(&place("a", "bc")));
    }

    #[test]
    fn platform_ids_with_wildcards_never_reach_a_subject() {
        for channel in ["a.>", "*", " ", &"x".repeat(4096)] {
            let id = ConversationId::derive(&place(channel, ""));
            assert!(id.as_str().chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
            assert!(id.partition() < PARTITIONS);
        }
    }

    #[test]
    fn ids_read_back_what_they_write() {
        let conversation = ConversationId::derive(&place("main", ""));
        let message = MessageId::new("cli", "42").unwrap();
        let turn = TurnId::derive(&conversation, &message);
        let call = CallId { turn, step: 3, index: 7 };
        assert_eq!(CallId::parse(&call.to_string()), Ok(call));
        assert_eq!(TurnId::parse(&turn.to_string()), Ok(turn));
        let file = FileId::of(b"bytes");
        assert_eq!(FileId::parse(file.as_str()), Ok(file));
        assert!(FileId::parse("*").is_err() && FileId::parse(&"G".repeat(32)).is_err());
        assert!(MessageId::parse("no-platform").is_err());
        assert!(MessageId::parse("cli:a\nb").is_err());
        assert!(CallId::parse("x.1.2").is_err());
        assert!(ConversationId::parse("SHORT").is_err());
    }
}
