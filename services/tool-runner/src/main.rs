//! Starts the tool-runner as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    service_kit::run::main("tool-runner", &[], async |settings, bus| {
        tool_runner::App::build(&settings, &bus).await?.service()
    })
}
