//! The commands about what is remembered.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Whose memories: everybody has their own.
#[derive(Debug, Args)]
pub struct Whose {
    /// Another person than the one at this terminal (CLI_USER_ID).
    #[arg(long, value_name = "ID", global = true)]
    pub user: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum MemoryCommand {
    /// What Clara remembers of you, newest first; with words, what matches them.
    List {
        /// Words to look for.
        query: Vec<String>,
        /// How many, at most.
        #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        /// Of this project alone.
        #[arg(long, conflicts_with = "query")]
        project: Option<String>,
    },
    /// What is remembered that fits a question, then what was said in your conversations that
    /// fits it best, whichever words it used.
    Search {
        /// A question, or words.
        #[arg(required = true)]
        query: Vec<String>,
        /// How many, at most.
        #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
    },
    /// Remember something.
    #[command(visible_alias = "add")]
    Remember {
        /// One fact, such as: my bicycle is green
        #[arg(required = true)]
        text: Vec<String>,
        /// It stands in every prompt.
        #[arg(long)]
        key: bool,
        /// It belongs to this project.
        #[arg(long)]
        project: Option<String>,
    },
    /// One memory with all that is known of it.
    Show {
        /// The id that `memory list` shows.
        id: String,
    },
    /// Change the text of a memory; `undo` takes it back.
    Edit {
        /// The id that `memory list` shows.
        id: String,
        /// What it says from now on.
        #[arg(required = true)]
        text: Vec<String>,
    },
    /// Whether a memory stands in every prompt, and whether groups may see it.
    Mark {
        /// The id that `memory list` shows.
        id: String,
        /// It stands in every prompt, or not.
        #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
        key: Option<bool>,
        /// Groups may see it, or not.
        #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
        public: Option<bool>,
        /// The project that it belongs to; "" for none.
        #[arg(long)]
        project: Option<String>,
    },
    /// Erase a memory for good, with the exchanges that it comes from: by id, or all that hold these words.
    Forget {
        /// The id that `memory list` shows, or words.
        #[arg(required = true)]
        which: Vec<String>,
    },
    /// What became of a memory over time.
    History {
        /// The id that `memory list` shows.
        id: String,
    },
    /// Where a memory comes from: who said what, and when.
    Why {
        /// The id that `memory list` shows.
        id: String,
    },
    /// Take back the newest edit, merge or replacement of a memory, within 30 days.
    Undo {
        /// The id that `memory list` or `memory history` shows.
        id: String,
    },
    /// Print every memory as a line of JSON, for `memory import`.
    Export,
    /// Store what `memory export` printed; what is known is left as it is.
    Import {
        /// A file of such lines; - for the standard input.
        file: PathBuf,
    },
    /// Learn from a text, such as a profile of yourself: shows what it would remember.
    Bootstrap {
        /// A file of text.
        file: PathBuf,
        /// Remember it.
        #[arg(long)]
        apply: bool,
    },
    /// Erase everything: memories, conversations and what was made of them.
    Clear {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Your projects, each with the number of its memories; `!project <name>` in chat chooses one for a conversation.
    Projects,
    /// Be reminded of something when a word or topic comes up, at a time, or on a day.
    Remind {
        /// What of.
        #[arg(required = true)]
        text: Vec<String>,
        #[command(flatten)]
        when: When,
        /// Every time, not once.
        #[arg(long)]
        always: bool,
        /// Higher comes first.
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        priority: i32,
    },
    /// The reminders that wait.
    Reminders,
    /// Drop a reminder.
    Dismiss {
        /// The id that `memory reminders` shows.
        id: String,
    },
    /// How much there is.
    Stats,
    /// Make all vectors anew, in the background.
    Reindex,
    /// The accounts that share your memory; with a platform and an id, ask to share it with that account, which must
    /// ask for yours within an hour.
    Link {
        /// Such as `discord`; alone, the account's whole name, as `!link status` shows it there.
        platform: Option<String>,
        /// The account's id there.
        id: Option<String>,
    },
    /// A memory of its own for this account, from now on.
    Unlink,
}

/// When a reminder fires: one of these, or a part of the day, a day and a place together.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct When {
    /// When one of these words is said; again for more.
    #[arg(long, conflicts_with_all = ["topic", "at", "time_of_day", "day", "channel"])]
    pub word: Vec<String>,
    /// When this is spoken of.
    #[arg(long, conflicts_with_all = ["at", "time_of_day", "day", "channel"])]
    pub topic: Option<String>,
    /// From this time on, such as 2027-01-31T09:00.
    #[arg(long, conflicts_with_all = ["time_of_day", "day", "channel"])]
    pub at: Option<String>,
    /// In the morning, afternoon, evening or night.
    #[arg(long, value_name = "PART")]
    pub time_of_day: Option<String>,
    /// On this day of the week, such as monday.
    #[arg(long)]
    pub day: Option<String>,
    /// In this place, as its platform calls it: a conversation's or a channel's name.
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" | "on" => Ok(true),
        "no" | "false" | "off" => Ok(false),
        _ => Err("give yes or no".to_owned()),
    }
}
