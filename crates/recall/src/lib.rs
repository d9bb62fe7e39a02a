//! Finding what was said and what is remembered. Pure: it sees no clock, no
//! database and no model; vectors come in.
//!
//! [`Index`] holds passages and ranks them for a question by weighted signals.

mod bm25; // How well words match.
mod index; // Passages, ranked for a question.
mod late; // How well the words' vectors match, each by each.
mod texts; // How well the texts' vectors match.
mod tools; // How well tools fit what is asked.
mod weights; // What counts how much.
mod words; // From a text to its terms.

pub use index::{Hit, Index, Passage, Question};
pub use late::{DamagedVectors, Embedding, TokenVectors, cosine};
pub use tools::{Described, by_words, tool_scores, tool_text, with_meaning};
pub use words::terms;
