//! The wire contract: generated types stay inside, domain types come out.
//!
//! [`Wire`] is all that the rest of the code sees: bytes in, domain value out,
//! or a fault that names the field. What cannot be read is poison and is
//! treated as such by the consumer; nothing here panics on input.

use prost::Message;

mod common; // Principals, messages, tiers.
mod conversation; // The router's record.
mod facts; // Facts, and what is done with them.
mod fields; // Reading one field, and naming it when it is wrong.
mod inbound; // What moves a conversation.
mod journal; // The turn's journal.
pub mod live; // Deltas, control, snapshots.
mod mcp; // Servers that offer tools.
mod memory; // Recall and facts.
pub mod response; // Request and reply.
mod sampling; // Words that servers want of the model.
mod session; // Sessions as people ask for them.
mod spending; // What model calls cost.
pub mod terminal; // Terminals and adapter-cli.
pub mod timer; // What happens after a time.
mod tool; // Tool requests and records.
mod turn; // Requests, contexts, replies.

/// Generated from `proto/clara/v1`.
#[allow(clippy::all, missing_docs, unreachable_pub)]
mod v1 {
    include!(concat!(env!("OUT_DIR"), "/clara.v1.rs"));
}

/// A message that is not what its subject promises.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMessage {
    #[error("not a protobuf message of this kind")]
    Protobuf(#[from] prost::DecodeError),
    #[error("field `{0}` is missing or has no known value")]
    Missing(&'static str),
    #[error("field `{field}` is not valid")]
    Invalid { field: &'static str, source: domain::ids::InvalidId },
}

/// A domain value with its form on the wire.
pub trait Wire: Sized {
    fn to_wire(&self) -> Vec<u8>;
    fn from_wire(bytes: &[u8]) -> Result<Self, InvalidMessage>;
}

/// Implements [`Wire`] for a domain type by way of its generated type.
macro_rules! wire {
    ($domain:ty as $raw:ty) => {
        impl crate::Wire for $domain {
            fn to_wire(&self) -> Vec<u8> {
                prost::Message::encode_to_vec(&<$raw>::from(self))
            }
            fn from_wire(bytes: &[u8]) -> Result<Self, crate::InvalidMessage> {
                Self::try_from(crate::decode::<$raw>(bytes)?)
            }
        }
    };
}
pub(crate) use wire;

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, InvalidMessage> {
    Ok(M::decode(bytes)?)
}

#[cfg(test)]
mod tests;
