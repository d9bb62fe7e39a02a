//! Starts the processor as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    service_kit::run::main("processor", &[processor::App::check], async |settings, bus| {
        processor::App::build(&settings, &bus).await?.service()
    })
}
