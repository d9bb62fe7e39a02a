//! MCP servers as people see them: what runs, whose it is, what it offers.

use std::collections::BTreeMap;

use crate::message::Principal;

mod authorisation; // Who may ask a server, and how it comes to know.

pub use authorisation::{Authorisation, Callback, VouchedBy, callback};

/// Longest name of a server, in bytes.
pub const NAME_BYTES: usize = 32;
/// Servers of one person, and of all together, at most.
pub const SERVERS: usize = 100;

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launch {
    /// A process of its own: the program and its arguments, never a shell. In a value of
    /// the environment `${NAME}` stands for the runner's own variable of that name.
    Stdio { command: Vec<String>, env: BTreeMap<String, String> },
    /// Streamable HTTP. `${NAME}` in a header's value, or after the host of the URL, as above.
    Http { url: String, headers: BTreeMap<String, String> },
}

impl Launch {
    /// With more arguments and variables for a process, or more headers for a URL. The error says
    /// which of them it has no use for.
    pub fn with(
        mut self,
        arguments: Vec<String>,
        variables: BTreeMap<String, String>,
        more_headers: BTreeMap<String, String>,
    ) -> Result<Self, &'static str> {
        match &mut self {
            Self::Stdio { command, env } => {
                if !more_headers.is_empty() {
                    return Err("headers are for servers that are reached by a URL; give variables");
                }
                if command.starts_with(&["docker".to_owned(), "run".to_owned()]) {
                    // A container sees only the variables that it is given by name.
                    let named = variables.keys().flat_map(|name| ["-e".to_owned(), name.clone()]);
                    command.splice(2..2, named.collect::<Vec<_>>());
                }
                command.extend(arguments);
                env.extend(variables);
            }
            Self::Http { headers, .. } => {
                if !variables.is_empty() || !arguments.is_empty() {
                    return Err("variables and arguments are for servers that run here; give headers");
                }
                headers.extend(more_headers);
            }
        }
        Ok(self)
    }
}

/// Where a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Starts when it is called.
    Stopped,
    /// Is being started.
    Starting,
    Running,
    /// Could not be started, or ended; it is tried again after a while.
    Failed,
    /// Wants to know who asks, and nobody has authorised it.
    PendingAuth,
    Disabled,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Failed => "error",
            Self::PendingAuth => "pending_auth",
            Self::Disabled => "disabled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Stopped, Self::Starting, Self::Running, Self::Failed, Self::PendingAuth, Self::Disabled]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpServer {
    pub name: String,
    /// Whose it is; empty: everybody's.
    pub owner: String,
    /// What it was installed from.
    pub source: String,
    pub launch: Launch,
    pub status: Status,
    pub tools: u32,
    /// Why it failed last; empty if it did not.
    pub last_error: String,
    pub installed_by: String,
    /// Whether it starts anew when its files change.
    pub is_reloaded: bool,
    /// Whether it may have words of the model.
    pub may_sample: bool,
    pub installed_at_ms: i64,
}

/// A tool that a server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpTool {
    /// As models call it: `<server>__<tool>`.
    pub name: String,
    pub description: String,
    /// JSON Schema of its arguments, as JSON text.
    pub schema: String,
    /// Whether it may be called: one that changed since it was approved may not.
    pub is_approved: bool,
    /// How much of this looks like an attack: `clean`, `low`, `medium` or `high`.
    pub suspicion: String,
    /// What whoever agrees to it names.
    pub hash: String,
}

/// Something that a server lets people read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct McpResource {
    /// Its address; of a template, with `{name}` for what is to be put in.
    pub uri: String,
    pub name: String,
    pub description: String,
    pub media_type: String,
    pub is_template: bool,
    /// Whether it has changed since it was read; known of those that are subscribed to.
    pub has_changed: bool,
}

/// A prompt that a server has ready.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct McpPrompt {
    pub name: String,
    pub description: String,
    pub arguments: Vec<McpArgument>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct McpArgument {
    pub name: String,
    pub description: String,
    pub is_required: bool,
}

/// A call of a server, as it is kept: neither what it was given nor what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpCall {
    pub server: String,
    /// As the server calls it.
    pub tool: String,
    pub started_at_ms: i64,
    pub duration_ms: i64,
    /// Empty for one that went well.
    pub error: String,
}

/// A person's calls of one server on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpUsage {
    pub user: String,
    pub server: String,
    /// In UTC, as 2026-11-27.
    pub day: String,
    pub calls: u64,
    pub failed: u64,
    /// Of those that failed.
    pub timed_out: u64,
    pub total_ms: u64,
}

/// How many calls of servers one person may make. What names a person takes the place of what
/// names nobody, for the same server and tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct McpLimit {
    /// Whose calls; empty: each person's.
    pub user: String,
    /// Of which server, by its name; empty: of all together.
    pub server: String,
    /// Of which tool, as its server calls it; empty: of all together.
    pub tool: String,
    /// At most so many; 0: any.
    pub per_minute: u64,
    pub per_hour: u64,
    pub per_day: u64,
}

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
