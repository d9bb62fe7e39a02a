//! Who answers and who listens.

pub(crate) mod facts; // What people asked her to remember.
pub(crate) mod projector; // Journal to history.
pub(crate) mod recall; // What a turn wants to know.
