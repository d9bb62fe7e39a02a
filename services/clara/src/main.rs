//! The `clara` command: every service in one process, and the operator's tools.

use std::process::ExitCode;

use clap::Parser;
use clara::cli::Cli;

fn main() -> ExitCode {
    clara::run(Cli::parse())
}
