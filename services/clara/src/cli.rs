//! What can be typed.

mod mcp;
mod memory; // The commands about what is remembered.
mod session; // The commands about what was said in one go.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use mcp::{Install, LimitCommand, LimitOf, McpCommand};
pub use memory::{MemoryCommand, When, Whose};
pub use session::SessionCommand;

/// Clara, a personal assistant that runs on your own machine.
///
/// `clara chat` is the place to begin: it starts everything that is needed and
/// opens a conversation. Without an API key the built-in offline model answers.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Print data as JSON, one value a line, for scripts.
    #[arg(long, global = true)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  clara chat                               talk in this terminal
  echo 'what time is it' | clara chat      one message a line, replies on stdout
  clara up                                 all services in the foreground
  clara doctor                             what is wrong, and what to do
  clara turn list                          what happened lately
  clara config show                        every setting, and where it came from";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Talk with Clara in this terminal; starts her if she is not running.
    ///
    /// On a terminal: line editing, history, Ctrl-C stops the answer, Ctrl-D
    /// leaves. Otherwise every line of standard input is one message, replies go
    /// to standard output, and the exit status is 1 if one failed.
    /// Prefixes choose the model: !high !opus, !mid !sonnet, !low !haiku !fast.
    Chat {
        /// The conversation; terminals with the same one share it.
        #[arg(long, short, default_value = "main")]
        conversation: String,
        /// A file that goes with the first message; may be given several times.
        #[arg(long, short, value_name = "FILE")]
        attach: Vec<PathBuf>,
        /// How long to wait for one reply, in seconds.
        #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        timeout: u64,
    },
    /// Run every service in the foreground until Ctrl-C or SIGTERM.
    ///
    /// Starts a nats-server of its own in the data folder, unless NATS_URL names
    /// one. Prints one line when ready.
    Up {
        /// Stop when no terminal has been open for half a minute.
        #[arg(long, hide = true)]
        until_idle: bool,
    },
    /// Run one service as this process, against the nats-server of NATS_URL.
    Serve { service: ServiceName },
    /// Stop the Clara that runs in the data folder.
    Down,
    /// Show what is running.
    Status,
    /// Check everything, and say what to do about what is wrong.
    Doctor,
    /// Show or check the configuration.
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
    /// Look into turns: each question with all that followed from it.
    Turn {
        #[command(subcommand)]
        what: TurnCommand,
    },
    /// Look into, add to or take from what Clara remembers of you.
    Memory {
        #[command(flatten)]
        whose: Whose,
        #[command(subcommand)]
        what: MemoryCommand,
    },
    /// Look into what was said, session by session, and put sessions away.
    Session {
        #[command(flatten)]
        whose: Whose,
        #[command(subcommand)]
        what: SessionCommand,
    },
    /// Bring in what people have in a system that Clara replaces; she may run beside it.
    Import {
        #[command(subcommand)]
        from: ImportCommand,
    },
    /// Calls of tools that wait for somebody's word.
    ///
    /// Whoever was asked may answer, here or in the conversation; so may those whom
    /// CLARA_ADMINS names.
    Approval {
        #[command(subcommand)]
        what: ApprovalCommand,
    },
    /// Servers that offer tools (MCP): install, look, approve.
    Mcp {
        #[command(subcommand)]
        what: McpCommand,
    },
    /// Look into messages that nobody could handle, and send them again.
    Dead {
        #[command(subcommand)]
        what: DeadCommand,
    },
    /// Print a completion script.
    ///
    /// `clara completions bash > ~/.local/share/bash-completion/completions/clara`
    Completions { shell: Shell },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ServiceName {
    Router,
    Processor,
    Orchestrator,
    ToolRunner,
    Memory,
    AdapterCli,
}

#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// What a MyPalClara knows of people: direct conversations, memories with their strength, reminders and linked
    /// accounts. Says what would come, unless --apply is given; run again, nothing comes twice.
    Mypalclara(MyPalClara),
}

/// Where a MyPalClara keeps what it knows.
#[derive(Debug, Args)]
pub struct MyPalClara {
    /// Its database (DATABASE_URL there): a postgresql:// URL, or a SQLite file.
    #[arg(long)]
    pub database: Option<String>,
    /// Its Qdrant (QDRANT_URL there); the key is read from QDRANT_API_KEY.
    #[arg(long)]
    pub qdrant: Option<String>,
    /// Its PostgreSQL with pgvector (ROOK_DATABASE_URL there), in place of Qdrant.
    #[arg(long, conflicts_with = "qdrant")]
    pub pgvector: Option<String>,
    /// The name of its collection or table.
    #[arg(long, default_value = "clara_memories")]
    pub collection: String,
    /// Store it.
    #[arg(long)]
    pub apply: bool,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every setting with its value and origin; secrets are hidden.
    Show {
        /// Only what somebody set.
        #[arg(long)]
        set: bool,
    },
    /// Check the configuration; exit status 78 if it cannot work.
    Check,
}

#[derive(Debug, Subcommand)]
pub enum TurnCommand {
    /// The newest turns, newest first.
    List {
        /// How many.
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        limit: u64,
    },
    /// The journal of a turn.
    Show {
        /// The turn's id, or how it begins.
        id: String,
    },
    /// What led to the answer: memories, tools, prompts, model.
    Why {
        /// The turn's id, or how it begins.
        id: String,
    },
    /// Rebuild from the journal what the model was asked, and compare.
    ///
    /// Each request is hashed when it is put. The exit status is 1 if a rebuilt
    /// one hashes to something else.
    Replay {
        /// The turn's id, or how it begins.
        id: String,
        /// Only this step, counted from 0.
        #[arg(long)]
        step: Option<u32>,
    },
    /// Run on from one step, in a new conversation, and show the difference.
    ///
    /// The steps before it are taken over with their results; this one is asked
    /// again. Tools that the fork calls are really run.
    Fork {
        /// The turn's id, or how it begins.
        id: String,
        /// The step that is asked again, counted from 0.
        #[arg(long)]
        at: u32,
        /// Another model, by its name at the provider.
        #[arg(long)]
        model: Option<String>,
        /// How long to wait for its reply, in seconds.
        #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        timeout: u64,
    },
}

#[derive(Debug, Subcommand)]
pub enum ApprovalCommand {
    /// What waits, the oldest first.
    List {
        /// How many, at most.
        #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        limit: u64,
    },
    /// Let it run, this once.
    Approve(Answering),
    /// Leave it.
    Deny(Answering),
}

#[derive(Debug, Args)]
pub struct Answering {
    /// The turn that asked, or how its id begins.
    pub id: String,
    /// How long to wait for what comes of it, in seconds.
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
}

#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// The oldest dead letters.
    List {
        /// How many, at most.
        #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        limit: u64,
    },
    /// One of them, with what is readable in it.
    Show {
        /// Its number in the list.
        number: u64,
    },
    /// Send it again to where it was going; for instance after an upgrade.
    Replay {
        /// Its number in the list.
        number: u64,
    },
    /// Drop it for good.
    Drop {
        /// Its number in the list.
        number: u64,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn commands_are_well_formed() {
        super::Cli::command().debug_assert();
    }
}
