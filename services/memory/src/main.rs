//! Starts the memory service as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    service_kit::run::main("memory", &[], async |settings, bus| memory::App::build(&settings, &bus).await?.service())
}
