//! What is asked of the tool runner about MCP servers, and what it answers.

use std::collections::BTreeMap;

use super::{Authorisation, Launch, McpCall, McpLimit, McpPrompt, McpResource, McpServer, McpTool, McpUsage};
use crate::message::Principal;

/// What is asked of the tool runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum McpCommand {
    /// What would be run for a source; nothing is.
    Plan {
        source: String,
        name: String,
    },
    /// Starts what was planned, lists its tools, and saves it. `launch` is the plan, as
    /// whoever agreed saw it.
    Install {
        source: String,
        name: String,
        launch: Launch,
        for_all: bool,
    },
    Uninstall {
        name: String,
    },
    List,
    /// Empty: those of all.
    Tools {
        name: String,
    },
    /// Lets it be called, or not.
    Enable {
        name: String,
        is_enabled: bool,
    },
    /// Ends it; it starts anew when it is called.
    Restart {
        name: String,
    },
    /// Reads its tools again; empty: those of all.
    Refresh {
        name: String,
    },
    /// Agrees to those of its tools that have these hashes: to what was seen, and no more.
    Approve {
        name: String,
        hashes: Vec<String>,
    },
    /// Starts it anew whenever its files change, or no more.
    HotReload {
        name: String,
        is_wanted: bool,
    },
    /// Lets it have words of the model in the middle of a call, or no more.
    Sampling {
        name: String,
        is_allowed: bool,
    },
    /// Authorises a server that wants to know who asks: everybody's for all, or for whoever asks.
    Oauth {
        name: String,
        for_all: bool,
        what: Authorisation,
    },
    /// What it lets people read.
    Resources {
        name: String,
    },
    Read {
        name: String,
        uri: String,
    },
    /// Hears of changes of a resource while the server runs, or no more.
    Subscribe {
        name: String,
        uri: String,
        is_wanted: bool,
    },
    Prompts {
        name: String,
    },
    /// The calls that somebody made in the last 30 days, the newest first: at most `limit` of them,
    /// and at most 500.
    Calls {
        limit: u32,
    },
    /// The limits that were set.
    Limits,
    /// Sets one in place of what was set for the same person, server and tool.
    SetLimit(McpLimit),
    /// Takes the one away that was set for them.
    DropLimit {
        user: String,
        server: String,
        tool: String,
    },
    /// How much somebody called, or everybody; the newest day first: at most `limit` rows of a person,
    /// a server and a day, and at most 500.
    Usage {
        for_all: bool,
        limit: u32,
    },
    /// A prompt, filled in.
    Prompt {
        name: String,
        prompt: String,
        arguments: BTreeMap<String, String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpRequest {
    pub principal: Principal,
    pub command: McpCommand,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct McpAnswer {
    pub servers: Vec<McpServer>,
    pub tools: Vec<McpTool>,
    /// What would be run, for a plan, under which name.
    pub plan: Option<(String, Launch)>,
    pub resources: Vec<McpResource>,
    pub prompts: Vec<McpPrompt>,
    pub calls: Vec<McpCall>,
    pub usage: Vec<McpUsage>,
    pub limits: Vec<McpLimit>,
    /// What was read. Untrusted words.
    pub text: String,
}
