//! The servers that people have installed, what was called of them, and how much may be.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::mcp::{Launch, McpCall, McpLimit, McpUsage};

use super::DatabaseError;
use crate::mcp::Offered;

/// Whose server, and which.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// Empty: everybody's.
    pub(crate) owner: String,
    pub(crate) name: String,
}

/// A server as it was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    pub(crate) key: Key,
    pub(crate) source: String,
    pub(crate) launch: Launch,
    pub(crate) is_enabled: bool,
    /// Whether it starts anew when its files change.
    pub(crate) is_reloaded: bool,
    /// Whether it may have words of the model.
    pub(crate) may_sample: bool,
    /// What it offered when it was asked last.
    pub(crate) tools: Vec<Offered>,
    /// The hashes of those that somebody agreed to.
    pub(crate) approved: BTreeSet<String>,
    pub(crate) last_error: String,
    pub(crate) installed_by: String,
    pub(crate) installed_at_ms: i64,
    /// How often somebody wanted it to start anew: a process of an earlier time is ended.
    pub(crate) restarts: i64,
    /// Everybody's, as its owner has authorised it for themselves: what it is, and what of it was
    /// agreed to, is everybody's; what it offers, and with which tokens, is its owner's.
    pub(crate) is_personal: bool,
}

impl Installed {
    /// Everybody's server, as somebody authorises it for themselves.
    pub(crate) fn for_one(&self, owner: &str) -> Self {
        let key = Key { owner: owner.to_owned(), name: self.key.name.clone() };
        Self { key, tools: Vec::new(), last_error: String::new(), is_personal: true, ..self.clone() }
    }

    /// What is kept of such a one, with what everybody's is now.
    pub(crate) fn as_part_of(&self, all: &Self) -> Self {
        Self {
            key: self.key.clone(),
            tools: self.tools.clone(),
            last_error: self.last_error.clone(),
            installed_at_ms: self.installed_at_ms.max(all.installed_at_ms),
            restarts: self.restarts + all.restarts,
            is_personal: true,
            ..all.clone()
        }
    }

    /// Where that stands which holds for all who use it.
    pub(crate) fn shared_key(&self) -> Key {
        match self.is_personal {
            true => Key { owner: String::new(), name: self.key.name.clone() },
            false => self.key.clone(),
        }
    }

    pub(crate) fn is_approved(&self, tool: &Offered) -> bool {
        self.approved.contains(&tool.hash())
    }
}

/// One call, as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Called {
    pub(crate) key: Key,
    pub(crate) user: String,
    pub(crate) call: String,
    pub(crate) tool: String,
    pub(crate) started_at_ms: i64,
    pub(crate) duration_ms: i64,
    /// Nothing for one that went well.
    pub(crate) error: Option<&'static str>,
}

/// Calls that a person may make since a time, at most.
#[derive(Debug, Clone)]
pub(crate) struct CallLimit {
    pub(crate) most: u64,
    pub(crate) since_ms: i64,
    /// Of this server alone, and of this tool; empty: of any.
    pub(crate) server: String,
    pub(crate) tool: String,
}

/// How much people may call.
#[async_trait]
pub(crate) trait RateLimits: Send + Sync {
    async fn all(&self) -> Result<Vec<McpLimit>, DatabaseError>;
    /// Sets one in place of what was set for the same; whether there was room among `most`.
    async fn set(&self, limit: &McpLimit, most: usize) -> Result<bool, DatabaseError>;
    /// Whether there was one.
    async fn remove(&self, user: &str, server: &str, tool: &str) -> Result<bool, DatabaseError>;
}

/// What is noted in place of an error of a call that has begun, and not ended.
pub(crate) const RUNNING: &str = "running";

/// The servers that people have installed.
#[async_trait]
pub(crate) trait Installations: Send + Sync {
    /// Those that a person may use: their own, and everybody's.
    async fn of(&self, user: &str) -> Result<Vec<Installed>, DatabaseError>;
    async fn find(&self, key: &Key) -> Result<Option<Installed>, DatabaseError>;
    /// All that everybody's server of this name offers to anybody.
    async fn offered(&self, name: &str) -> Result<Vec<Offered>, DatabaseError>;
    /// Whether it was added: not when there is one of this name.
    async fn add(&self, installed: &Installed) -> Result<bool, DatabaseError>;
    /// Puts it in the place of the one of its key, if that is still run as `before`; whether it was.
    /// That it may have words of the model was said of the other one.
    async fn replace(&self, installed: &Installed, before: &Launch) -> Result<bool, DatabaseError>;
    /// Takes away what people have authorised of everybody's for themselves.
    async fn remove_parts(&self, name: &str) -> Result<(), DatabaseError>;
    /// Everybody's goes with what people have authorised of it for themselves.
    async fn remove(&self, key: &Key) -> Result<bool, DatabaseError>;
    async fn enable(&self, key: &Key, is_enabled: bool) -> Result<bool, DatabaseError>;
    /// What it offers now, if it is still run like this; what was agreed to stays agreed to.
    async fn set_tools(&self, key: &Key, launch: &Launch, tools: &[Offered]) -> Result<(), DatabaseError>;
    /// Agrees to those of what it offers now that have these hashes.
    async fn approve(&self, key: &Key, hashes: &BTreeSet<String>) -> Result<bool, DatabaseError>;
    /// Has every replica start it anew; whether there is such a server.
    async fn restart(&self, key: &Key) -> Result<bool, DatabaseError>;
    /// Whether it is to start anew when its files change.
    async fn set_reloaded(&self, key: &Key, is_wanted: bool) -> Result<bool, DatabaseError>;
    /// Whether it may have words of the model.
    async fn set_may_sample(&self, key: &Key, is_allowed: bool) -> Result<bool, DatabaseError>;
    /// Those that start anew when their files change, whoever they belong to.
    async fn reloaded(&self) -> Result<Vec<Installed>, DatabaseError>;
    async fn note_error(&self, key: &Key, why: &str) -> Result<(), DatabaseError>;
}

/// The calls of servers.
#[async_trait]
pub(crate) trait Calls: Send + Sync {
    /// Counts a call that is about to be made, of its person's calls; the first of the limits that
    /// it would exceed, if it would, and then it counts for nothing. Those that come at once, to
    /// all replicas, are counted one after the other.
    async fn begin_call(&self, called: &Called, limits: &[CallLimit]) -> Result<Option<usize>, DatabaseError>;
    /// How a call ended.
    async fn note_call(&self, called: &Called) -> Result<(), DatabaseError>;
    /// A person's calls, the newest first.
    async fn made(&self, by: &str, limit: u32) -> Result<Vec<McpCall>, DatabaseError>;
    /// What a person has called, or everybody; the newest day first.
    async fn usage(&self, by: Option<&str>, limit: u32) -> Result<Vec<McpUsage>, DatabaseError>;
}
