//! Starts the tool-runner as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(ended) = tool_runner::own_process() {
        return ended;
    }
    service_kit::run::main("tool-runner", &[], async |settings, bus| {
        tool_runner::App::build(&settings, &bus).await?.service()
    })
}
