//! Servers that speak MCP, the database of those that are installed, and sandboxes.

pub(crate) mod backgrounds; // Processes in the background of the sandbox.
pub(crate) mod bubblewrap; // The sandbox by bubblewrap.
mod cgroup; // Limits on all processes of a run together.
mod containers; // What sandboxes by containers have in common.
pub(crate) mod docker; // The sandbox by Docker.
mod egress; // The one way out of a sandbox.
pub(crate) mod guard; // Ends what a killed runner leaves.
pub(crate) mod incus; // The sandbox by Incus.
mod process; // Processes that go with all that they started.
pub(crate) mod rmcp; // The only user of the crate rmcp.
pub(crate) mod sealed; // Secrets at rest.
mod seccomp; // Which system calls code may make.
pub(crate) mod sql; // What people have installed, and what was called.
pub(crate) mod subagents; // Which sub-agents there are.
pub(crate) mod vault; // What servers were authorised with.
