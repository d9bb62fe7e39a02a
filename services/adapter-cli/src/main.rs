//! Starts the adapter-cli as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    service_kit::run::main("adapter-cli", &[], async |settings, bus| {
        adapter_cli::App::build(&settings, &bus).await?.service()
    })
}
