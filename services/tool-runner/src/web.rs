//! The web: pages and searches, from public addresses alone.

mod address; // Which addresses are anybody's to ask.
mod answer; // What those answer whom the operator has named.
mod client; // Asking for a page, hop by hop.
mod endpoint; // Endpoints that somebody's metadata name.
mod github; // Files of repositories at GitHub.
mod host; // Hosts that something may reach.
mod near; // What is near this machine.
mod page; // What a page says to a reader.
mod proxy; // The way out for what has no other.
mod reader; // Taking a page apart, where it can do no harm.
mod search; // Searching by Tavily or SearXNG.
mod smithery; // Searching for MCP servers.

pub(crate) use address::is_trustworthy;
pub(crate) use answer::Unanswered;
pub(crate) use client::{Fetched, Web};
pub(crate) use endpoint::Endpoints;
pub(crate) use github::GitHub;
pub(crate) use host::Host;
pub(crate) use proxy::Proxy;
pub(crate) use reader::taken_apart;
pub(crate) use reader::{ARGUMENT, read_page};
pub(crate) use search::{Engine, Search};
pub(crate) use smithery::Smithery;
