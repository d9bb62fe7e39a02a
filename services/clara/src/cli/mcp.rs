//! What `clara mcp` takes.

use std::net::SocketAddr;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum McpCommand {
    /// Install a server: shows what would be run, starts it once, lists its tools, and keeps it.
    ///
    /// Sources: npm:PACKAGE (or @scope/name, or a bare name), pypi:PACKAGE,
    /// github:OWNER/REPOSITORY, docker:IMAGE, smithery:NAME, smithery-hosted:NAME, a path, or a URL.
    /// Nothing goes through a shell. In a value of --env or --header, ${NAME} stands for
    /// the tool runner's own variable of that name, so that no secret is stored.
    #[command(after_help = "Examples:\n  clara mcp install npm:@modelcontextprotocol/server-everything\n  \
                            clara mcp install pypi:mcp-server-time --name time\n  \
                            clara mcp install https://mcp.example.org/mcp --header 'Authorization=Bearer ${EXAMPLE_TOKEN}'\n  \
                            clara mcp install ./my-server --name mine -- --verbose")]
    Install(Install),
    /// Remove a server; of everybody's, first what you have authorised it with for yourself.
    #[command(visible_alias = "remove")]
    Uninstall { name: String },
    /// The servers that you may use.
    List,
    /// Where one server stands.
    Status { name: String },
    /// What a server offers, or all of them, and what of it is approved.
    Tools {
        #[arg(default_value = "")]
        name: String,
    },
    /// Let a server be used again.
    Enable { name: String },
    /// Keep a server from being used.
    Disable { name: String },
    /// End a server; it starts anew when it is used.
    Restart { name: String },
    /// Start a server anew whenever its files change: one that was installed from a path.
    HotReload {
        name: String,
        /// No more.
        #[arg(long)]
        off: bool,
    },
    /// Start servers anew and read what they offer now.
    Refresh {
        /// Only this one.
        name: Option<String>,
    },
    /// What a server lets people read.
    Resources { name: String },
    /// Read a resource of a server.
    Resource { name: String, uri: String },
    /// Hear of changes of a resource while its server runs; `resources` marks what changed.
    Subscribe { name: String, uri: String },
    /// Hear of them no more.
    Unsubscribe { name: String, uri: String },
    /// The prompts that a server has ready.
    Prompts { name: String },
    /// A prompt of a server, filled in.
    Prompt {
        name: String,
        prompt: String,
        /// An argument of it, NAME=VALUE; several with spaces between.
        #[arg(value_name = "NAME=VALUE")]
        arguments: Vec<String>,
    },
    /// Let a server have words of the model in the middle of a call, paid for by whoever calls.
    Sampling {
        name: String,
        /// No more.
        #[arg(long)]
        off: bool,
    },
    /// Authorise a server that wants to know who asks (OAuth): gives the address to open, and waits
    /// until somebody has agreed there.
    ///
    /// A server of everybody's is authorised for you, and asked with your tokens when you use it.
    OauthStart {
        name: String,
        #[command(flatten)]
        whose: Whose,
        /// Where the page leads back to; then nothing is waited for, and `oauth-complete` takes what it led to.
        #[arg(long, value_name = "URL")]
        redirect_uri: Option<String>,
        /// As whom, when you have registered her there; else she registers herself.
        #[arg(long, value_name = "ID")]
        client_id: Option<String>,
        /// That client has a secret: read from standard input.
        #[arg(long, requires = "client_id")]
        client_secret: bool,
        /// How long to wait, in seconds.
        #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=3600))]
        timeout: u64,
    },
    /// Complete an authorisation with the address that the page led to.
    OauthComplete {
        name: String,
        address: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Where the authorisation of a server stands.
    OauthStatus {
        name: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Authorise Clara herself, as a machine: nobody opens a page.
    ///
    /// Her client secret is read from standard input, or a private key in PEM with
    /// --algorithm.
    #[command(after_help = "Examples:\n  clara mcp oauth-machine payroll --client-id clara < secret\n  clara mcp \
                            oauth-machine payroll --client-id clara --algorithm ES256 < key.pem")]
    OauthMachine {
        name: String,
        #[command(flatten)]
        whose: Whose,
        /// As whom she is known there.
        #[arg(long, value_name = "ID")]
        client_id: String,
        /// How the private key signs.
        #[arg(long, value_parser = ["ES256", "ES384", "RS256", "RS384", "RS512"])]
        algorithm: Option<String>,
    },
    /// Authorise Clara for yourself, by an identity provider that vouches for you (SEP-990).
    ///
    /// Read from standard input, a line each: the ID token that the provider gave to Clara, her
    /// client secret at the server (may be empty), and her client secret at the provider (may be
    /// left out). With --refresh the first line is a refresh token of the provider instead, and
    /// what the server gives is renewed by it.
    #[command(after_help = "Examples:\n  clara mcp oauth-enterprise payroll --client-id clara --provider \
                            https://login.example.org --provider-client-id clara-sso < tokens")]
    OauthEnterprise {
        name: String,
        #[command(flatten)]
        whose: Whose,
        /// As whom she is known to the server.
        #[arg(long, value_name = "ID")]
        client_id: String,
        /// The identity provider.
        #[arg(long, value_name = "URL")]
        provider: String,
        /// As whom she is known to the provider.
        #[arg(long, value_name = "ID")]
        provider_client_id: String,
        /// The first line is a refresh token.
        #[arg(long)]
        refresh: bool,
    },
    /// Use a token that you have: read from standard input, a refresh token on a second line.
    OauthSetToken {
        name: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// The calls of servers that you made, the newest first: when, how long, and how they ended.
    Calls {
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// How much you called each server, by days.
    Usage {
        /// How much everybody did; for administrators.
        #[arg(long)]
        all: bool,
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// How many calls of servers people may make: shown, set or taken away by administrators.
    ///
    /// What names a person takes the place of what names nobody, for the same server and tool; what
    /// is set for all calls together that of CLARA_MCP_CALLS_PER_MINUTE and its like.
    #[command(subcommand)]
    Limit(LimitCommand),
    /// Be such a server: your memories and the chat with Clara, for other programs.
    ///
    /// Over standard input and output for whoever runs it (CLI_USER_ID), or with --http for
    /// those who have a token of CLARA_MCP_TOKENS. Starts Clara if she is to run here.
    #[command(
        after_help = "Examples:\n  clara mcp serve\n  CLARA_MCP_TOKENS=ann=$(openssl rand -hex 20) clara mcp serve \
                            --http 127.0.0.1:8765"
    )]
    Serve {
        /// Serve streamable HTTP at /mcp of this address.
        #[arg(long, value_name = "HOST:PORT")]
        http: Option<SocketAddr>,
        /// A name under which it is reached; only this machine's own if left out.
        #[arg(long, value_name = "HOST", requires = "http")]
        host: Vec<String>,
        /// How long a chat waits for its answer, in seconds.
        #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        timeout: u64,
    },
    /// Agree to what a server offers now: a tool that changed may not be called before.
    ///
    /// Shows all that a model would read of what is not approved yet, and agrees to just that.
    Approve {
        name: String,
        /// Do not ask: it was looked at.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum LimitCommand {
    /// Those that were set.
    List,
    /// Set one; 0 is no limit.
    #[command(after_help = "Examples:\n  clara mcp limit set --per-day 200\n  clara mcp limit set --user discord-42 \
                            --server mail --per-hour 20")]
    Set {
        #[command(flatten)]
        of: LimitOf,
        #[arg(long, default_value_t = 0)]
        per_minute: u64,
        #[arg(long, default_value_t = 0)]
        per_hour: u64,
        #[arg(long, default_value_t = 0)]
        per_day: u64,
    },
    /// Take one away.
    Drop {
        #[command(flatten)]
        of: LimitOf,
    },
}

/// What a limit is about.
#[derive(Debug, Args)]
pub struct LimitOf {
    /// Whose calls; each person's if left out.
    #[arg(long, default_value = "")]
    pub user: String,
    /// Of which server; of all together if left out.
    #[arg(long, default_value = "")]
    pub server: String,
    /// Of which tool, as its server calls it; of all together if left out.
    #[arg(long, default_value = "")]
    pub tool: String,
}

/// For whom a server is authorised.
#[derive(Debug, Args)]
pub struct Whose {
    /// For everybody who uses the server, rather than for you alone.
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct Install {
    /// Where it comes from.
    pub source: String,
    /// What to call it; after the source if left out.
    #[arg(long, default_value = "")]
    pub name: String,
    /// A variable of its environment, NAME=VALUE; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// A header of its requests, NAME=VALUE; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    pub header: Vec<String>,
    /// For everybody, rather than for you alone.
    #[arg(long)]
    pub all: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// Further arguments of the command.
    #[arg(last = true)]
    pub arguments: Vec<String>,
}
