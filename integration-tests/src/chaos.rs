//! The chaos suite: Clara under load while something is done to her, and an
//! independent count of what came of every accepted message.
//!
//! A scenario is a function of [`scenarios`] over a [`stage::Stage`]. What held
//! is decided by [`check`] alone.

pub mod check; // Reads streams and ledgers, and counts.
pub mod ledgers; // The fake vendor and the tool server.
pub mod people; // Who talks, and what they were promised.
pub mod report; // The table and the line for scripts.
pub mod scenarios; // What is done.
pub mod stage; // A Clara of processes with ledgers around her.
