//! MCP servers as people see them: what runs, whose it is, what it offers.

use std::collections::BTreeMap;

use crate::message::Principal;

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

/// Where a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Starts when it is called.
    Stopped,
    Running,
    /// Could not be started, or ended; it is tried again after a while.
    Failed,
    Disabled,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Running => "running",
            Self::Failed => "error",
            Self::Disabled => "disabled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Stopped, Self::Running, Self::Failed, Self::Disabled].into_iter().find(|status| status.as_str() == text)
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
    /// What was read. Untrusted words.
    pub text: String,
}
