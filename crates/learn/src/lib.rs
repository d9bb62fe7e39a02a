//! What becomes a memory, and how long it stays strong. Pure: it sees no clock,
//! no database and no model; answers of models come in as text.
//!
//! [`statement`] finds what a person says about themselves, [`gate`] compares it
//! with what is known, [`fsrs`] and [`strength`] say how well it is remembered.
//! Storing is the memory service's business.

pub mod contradiction; // Whether two memories can both be true.
pub mod fsrs; // How memories fade: FSRS-6.
pub mod gate; // Add, merge, supersede or drop.
pub mod intention; // What somebody wants to be reminded of.
pub mod model; // What a language model is asked, and what it answered.
pub mod mood; // How a conversation felt.
pub mod relation; // Who and what belong together.
pub mod statement; // What a person says about themselves.
pub mod strength; // How strong a memory is, and whether an answer used it.
pub mod summary; // What a session was about.
pub mod topic; // What comes up again.
