//! MCP servers as people see them: what runs, whose it is, what it offers.

mod authorisation; // Who may ask a server, and how it comes to know.
mod request; // What is asked of the tool runner, and what it answers.

use std::collections::BTreeMap;

pub use authorisation::{Authorisation, Callback, VouchedBy, callback};
pub use request::{McpAnswer, McpCommand, McpRequest};

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
