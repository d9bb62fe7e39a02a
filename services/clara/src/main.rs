//! The `clara` command: every service in one process, and the operator's tools.

use std::process::ExitCode;

use clap::Parser;
use clara::cli::Cli;

fn main() -> ExitCode {
    // A part of the tool runner, in a process of its own.
    if std::env::args_os().nth(1).is_some_and(|first| first == tool_runner::READ_PAGE) {
        return tool_runner::read_page();
    }
    clara::run(Cli::parse())
}
