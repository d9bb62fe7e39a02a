//! Who answers and who listens.

pub(crate) mod comparer; // How similar texts are to questions.
pub(crate) mod embedder; // Vectors for what was said.
pub(crate) mod eraser; // Purges what was erased from the journals.
pub(crate) mod facts; // What is remembered of people.
pub(crate) mod learner; // Learns from what people said.
pub(crate) mod mirroring; // Copies to stores beside the database.
pub(crate) mod passages; // Finds what was said.
pub(crate) mod projector; // Journal to history.
pub(crate) mod recall; // What a turn wants to know.
pub(crate) mod sessions; // What was said in one go, as people ask for it.
pub(crate) mod summarizer; // What sessions were about.
pub(crate) mod traces; // What the bus keeps of a turn.
