//! The bus: everything between services goes through here.
//!
//! The only user of async-nats. It knows subjects, streams, consumers,
//! compare-and-set, deduplication and trace headers; what the messages mean is
//! the services' business. Every wait has a deadline, and every deadline on the
//! bus outlasts ten seconds, because that is how long a cluster may take to
//! elect a new leader.

mod connect; // Connecting, and what the server must be able to do.
mod consume; // Pulling messages with a limit, settling each.
mod conversations; // The router's records.
mod dead; // What was put aside.
mod erase; // What people had erased.
mod files; // The bytes of files that come with messages.
mod inbound; // What the inbound stream keeps.
mod journal; // A turn's journal.
mod live; // Core NATS: deltas, control, snapshots.
mod publish; // Storing a message, once, and fenced.
mod pull; // Asking for messages, in the server's protocol.
mod record; // Records by compare-and-set: tool results, deliveries.
mod request; // Request and reply.
mod spending; // What model calls cost.
mod subject; // Where messages go.
mod terminal; // What terminals show.
mod topology; // Streams, buckets and consumers, and whether they are as asked.
mod trace; // Trace context in headers.

pub use connect::{Bus, BusError, Login, Server, shown_url};
pub use consume::{Consumer, Delivery, Handler, Verdict};
pub use conversations::{Conversations, ConversationsError, Written};
pub use dead::{DeadLetter, DeadLetterError};
pub use files::Files;
pub use inbound::Handled;
pub use journal::{AppendError, FromPerson, Journal, JournalStore, Recorded, TurnSummary};
pub use live::{LiveError, SnapshotQuestion, Subscription, TurnSignal, TurnSignals};
pub use publish::{Alone, PublishError, Stored};
pub use record::{Claim, Records, Versioned};
pub use request::{Announced, Presence, RequestError, Serve};
pub use spending::{AccountKey, Spending, SpendingError};
pub use subject::{Endpoints, Subject};
pub use terminal::{Shown, TerminalLog};
pub use topology::{Problem, Room, TopologyError};
