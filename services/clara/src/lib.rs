//! Clara in one process, and the operator's command.
//!
//! [`app`] is all services together; `local` keeps the data folder, its
//! nats-server and the one running Clara; `chat` is the terminal; `commands`
//! show and change things for the operator. The services are the same code that
//! runs as processes of their own.

pub mod app; // All services in one process.
mod approvals; // Calls that wait for somebody's word.
mod chat; // The terminal.
pub mod cli; // What can be typed.
mod commands; // The operator's tools.
mod links; // One person, several accounts.
mod local; // The data folder and what runs in it.
mod mcp_server; // What she offers to other programs.

use std::process::ExitCode;

use cli::{Cli, Command};
use model::ModelConfig;
use service_kit::run::{refuse, runtime};
use service_kit::settings::Settings;
use service_kit::telemetry::{self, Logs};

/// Runs a command to its exit status: 0 done, 1 failed, 78 misconfigured.
pub fn run(cli: Cli) -> ExitCode {
    end_quietly_on_broken_pipe();
    // With several crypto providers compiled in, rustls wants one named.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if let Command::Completions { shell } = cli.command {
        return commands::completions(shell);
    }
    let (settings, mut faults) = Settings::read();
    faults.extend(ModelConfig::from_settings(&settings).err());
    match &cli.command {
        Command::Config { what } => return commands::config::run(&settings, &faults, what, cli.json),
        // What is wrong is what the doctor is asked about.
        Command::Doctor => {}
        _ if !faults.is_empty() => return refuse(&faults),
        _ => {}
    }
    if let Command::Serve { service } = &cli.command {
        return commands::serve(*service);
    }
    let logs = if matches!(cli.command, Command::Up { .. }) { Logs::Stderr } else { Logs::Quiet };
    let _telemetry = telemetry::init("clara", &settings, logs);
    if logs == Logs::Stderr {
        settings.warn_unknown();
    }
    let done = runtime().and_then(|runtime| {
        let done = runtime.block_on(commands::run(cli, settings));
        // A thread that waits for the keyboard must not keep the process.
        runtime.shutdown_background();
        done
    });
    done.unwrap_or_else(|err| {
        eprintln!("clara: {err:#}");
        ExitCode::FAILURE
    })
}

/// What became of writing to standard output: whoever reads it may have seen enough.
pub(crate) fn written<T>(result: std::io::Result<T>) -> std::io::Result<T> {
    if let Err(err) = &result
        && err.kind() == std::io::ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
    result
}

/// `clara turn list | head` ends when head has seen enough: that is no fault.
fn end_quietly_on_broken_pipe() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let words = panic.payload_as_str().unwrap_or_default();
        if words.starts_with("failed printing to stdout") && words.contains("Broken pipe") {
            std::process::exit(0);
        }
        usual(panic);
    }));
}
