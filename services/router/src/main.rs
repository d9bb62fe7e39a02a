//! Starts the router as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    service_kit::run::main("router", &[], async |settings, bus| router::App::build(&settings, &bus).await?.service())
}
