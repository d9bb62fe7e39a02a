//! What Clara decides, and the words she decides in.
//!
//! Everything here is pure: no IO, no clock, no randomness, no async.
//! Time, ids of replicas and token counts come in as arguments, so that the
//! same inputs give the same outcome after a crash, on another machine, and in
//! a property test. Wire formats are `proto`'s business; NATS is `bus`'s.

pub mod approval; // What a turn asks a person before it goes on.
pub mod attachment; // Files that come with messages.
pub mod budget; // What fits into the model's window.
pub mod carry; // What a turn takes over from another.
pub mod chat; // What models read and write.
pub mod conversation; // One active turn at a time, in order.
pub mod decide; // What a turn does next.
pub mod delivery; // How a reply is cut and recorded.
pub mod guard; // Loops and oversized results.
pub mod ids; // Who and what: conversations, turns, calls, messages.
pub mod journal; // What has happened in a turn.
pub mod mcp; // Servers that offer tools.
pub mod memory; // What is remembered of a person.
pub mod message; // What people send.
pub mod policy; // Who may use which tool.
pub mod queue; // What becomes of a message while a turn runs.
pub mod quota; // How much somebody may send.
pub mod replay; // The requests that a journal stands for.
pub mod sampling; // Words that servers want of the model.
pub mod secret; // Secrets in a text.
pub mod session; // What was said in one go.
pub mod spending; // What model calls cost, and may cost.
pub mod tier; // Which class of model answers.
pub mod tool; // What tools promise and return.
pub mod tool_search; // Tools that a prompt has no room for.
pub mod turn; // What a turn starts with and ends with.
pub mod untrusted; // Text that somebody else wrote.
