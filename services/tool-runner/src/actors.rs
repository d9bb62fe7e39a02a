//! Who runs calls and who lists tools.

pub(crate) mod breakers; // Tools that are left alone for a while.
pub(crate) mod lister; // The tools that a person may use.
pub(crate) mod runner; // One call at a time, recorded.
pub(crate) mod stops; // Stops of turns.
