//! Clara as a whole: every service a process, on a real nats-server.
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

mod approvals; // What waits for a person's word.
mod asking; // What tests ask the memory service.
mod attachments; // Files that come with messages.
mod bad_input; // What is refused, and how.
mod command; // The clara command, as people and scripts use it.
mod conformance; // What others say a client of MCP must do.
mod conversation; // The main job, end to end.
mod databases; // The memory service on both databases.
mod erasures; // What is erased, and where nothing of it may be left.
mod groups; // What groups spoke of.
mod import; // What people have elsewhere.
mod lost; // Turns that stand in no queue, calls that may have happened.
mod mcp; // Servers that offer tools.
mod mcp_attacks; // Servers that attack whoever installs them.
mod mcp_files; // Servers that files declare.
mod mcp_inspector; // Clara as an MCP server, before the MCP Inspector.
mod mcp_oauth; // Servers that want to know who asks.
mod mcp_reading; // What servers let people read, and what they ask meanwhile.
mod mcp_replicas; // Two people on two replicas, which die in the middle of a call.
mod mcp_server; // What other programs see of her.
mod memories; // What is learnt, what becomes of it, who sees it.
mod model_faults; // What vendors do wrong.
mod modes; // What becomes of messages that arrive during a turn.
mod order; // One at a time, in order, many at once.
mod passages; // What was said long ago, and who finds it.
mod replicas; // Two of everything, and what happens when one goes.
mod sandbox; // Code, and what it tries.
mod sandbox_background; // Processes that outlive their turn.
mod sandbox_containers; // The same by Docker and Incus.
mod sandbox_network; // What code reaches.
mod sessions; // Projects, and what was said in one go.
mod spending; // What people may spend.
mod stop; // Ending a turn.
mod stores; // The contract of every store of memories.
mod subagents; // Turns that do a part of the work.
mod telemetry; // Traces across the bus, and what is never in them.
mod time_travel; // Replay, why, fork; journals that are kept for ever.
mod vendors; // The two wires.
mod web; // Pages and searches.
