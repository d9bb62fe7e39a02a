//! Starts the orchestrator as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    service_kit::run::main("orchestrator", &[orchestrator::App::check], async |settings, bus| {
        orchestrator::App::build(&settings, &bus).await?.service()
    })
}
