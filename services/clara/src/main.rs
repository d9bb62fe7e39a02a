//! The `clara` command: every service in one process, and the operator's tools.

use std::process::ExitCode;

use clap::Parser;
use clara::cli::Cli;

fn main() -> ExitCode {
    // A part of the tool runner, in a process of its own.
    if let Some(ended) = tool_runner::own_process() {
        return ended;
    }
    clara::run(Cli::parse())
}
