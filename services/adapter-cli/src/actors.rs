//! In and out.

pub(crate) mod deliverer; // Replies to terminals.
pub(crate) mod listener; // What people type.
