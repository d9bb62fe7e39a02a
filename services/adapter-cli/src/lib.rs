//! The adapter for terminals.
//!
//! Takes what people type over request and reply, and tells them that it was
//! taken only after the bus has stored it. Delivers replies into the stream
//! that terminals read, each exactly once, by record. Decides nothing and keeps
//! no state: killing it loses nothing that was accepted.

mod actors; // In and out.
mod app; // Building and running.
mod quotas; // How much may be sent.

pub use app::App;
