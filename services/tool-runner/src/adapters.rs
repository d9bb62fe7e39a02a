//! Servers that speak MCP, and the database of those that are installed.

pub(crate) mod rmcp; // The only user of the crate rmcp.
pub(crate) mod sql; // What people have installed, and what was called.
