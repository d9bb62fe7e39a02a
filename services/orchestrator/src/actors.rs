//! The turns: one parent, one actor a turn.

pub(crate) mod turn; // Runs one turn.
pub(crate) mod turns; // Starts turns, and knows which run here.
