//! Starts the tool-runner as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == tool_runner::READ_PAGE) {
        return tool_runner::read_page();
    }
    service_kit::run::main("tool-runner", &[], async |settings, bus| {
        tool_runner::App::build(&settings, &bus).await?.service()
    })
}
