//! Whether she finds what was said: conversations with questions whose evidence
//! is known, brought into the memory service as a chat would, and searched over
//! the bus.
//!
//! The form is that of LoCoMo (Maharana et al., "Evaluating Very Long-Term
//! Conversational Memory of LLM Agents", ACL 2024). Evidence scores; it is never
//! sent.

pub mod dataset; // Conversations, questions, evidence.
pub mod endpoint; // A model over HTTP.
pub mod ingest; // From a conversation to the memory service.
pub mod score; // What was found of the evidence.
