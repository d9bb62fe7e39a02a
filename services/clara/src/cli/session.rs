//! The commands about what was said in one go.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// Your sessions, newest first: after half an hour of silence a new one begins.
    List {
        /// Those that were put away.
        #[arg(long)]
        archived: bool,
        /// How many, at most.
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
    },
    /// What was said in a session, word for word.
    Show {
        /// The id that `session list` shows.
        id: String,
    },
    /// Give a session another title.
    Rename {
        /// The id that `session list` shows.
        id: String,
        /// The title.
        #[arg(required = true)]
        title: Vec<String>,
    },
    /// Put a session away: it is no history any more, and is found when it is searched for.
    Archive {
        /// The id that `session list` shows.
        id: String,
    },
    /// Take a session back that was put away.
    Unarchive {
        /// The id that `session list --archived` shows.
        id: String,
    },
}
