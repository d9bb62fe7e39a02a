//! Who prepares turns.

pub(crate) mod preparer; // Takes a turn's request, hands its context on.
