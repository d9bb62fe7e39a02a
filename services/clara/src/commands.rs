//! The operator's tools, a file each.

mod approval; // What waits for somebody's word.
pub(crate) mod config; // Settings, and whether they can work.
mod dead; // What nobody could handle.
mod doctor; // What is wrong, and what to do.
mod mcp; // Servers that offer tools.
mod memory; // What Clara remembers of the person.
mod mypalclara; // What people have there.
mod session; // What was said in one go.
mod status; // What is running.
mod turn; // Journals, readable.
mod up; // Everything in the foreground.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use bus::{Bus, Server};
use clap::CommandFactory;
use clap_complete::Shell;
use service_kit::run;
use service_kit::settings::Settings;

use crate::cli::{Cli, Command, ImportCommand, ServiceName};
use crate::local::Folder;

/// Runs a command that needs the runtime.
pub(crate) async fn run(cli: Cli, settings: Settings) -> anyhow::Result<ExitCode> {
    let json = cli.json;
    match cli.command {
        Command::Chat { conversation, attach, timeout } => {
            crate::chat::run(settings, conversation, attach, Duration::from_secs(timeout), json).await
        }
        Command::Up { until_idle } => up::run(settings, until_idle, json).await,
        Command::Down => up::down(&settings, json).await,
        Command::Status => status::run(&settings, json).await,
        Command::Doctor => doctor::run(&settings, json).await,
        Command::Turn { what } => turn::run(&settings, what, json).await,
        Command::Memory { whose, what } => memory::run(&settings, whose, what, json).await,
        Command::Session { whose, what } => session::run(&settings, whose, what, json).await,
        Command::Import { from: ImportCommand::Mypalclara(from) } => mypalclara::run(&settings, from, json).await,
        Command::Approval { what } => approval::run(&settings, what, json).await,
        Command::Mcp { what } => mcp::run(&settings, what, json).await,
        Command::Dead { what } => dead::run(&settings, what, json).await,
        Command::Config { .. } | Command::Serve { .. } | Command::Completions { .. } => {
            anyhow::bail!("this command needs no runtime")
        }
    }
}

/// What `!status` in a chat shows.
pub(crate) async fn run_status(settings: &Settings, json: bool) -> anyhow::Result<()> {
    status::run(settings, json).await.map(|_| ())
}

/// Runs one service as this process.
pub(crate) fn serve(service: ServiceName) -> ExitCode {
    match service {
        ServiceName::Router => run::main("router", &[], async |s, bus| router::App::build(&s, &bus).await?.service()),
        ServiceName::Processor => run::main("processor", &[processor::App::check], async |s, bus| {
            processor::App::build(&s, &bus).await?.service()
        }),
        ServiceName::Orchestrator => run::main("orchestrator", &[orchestrator::App::check], async |s, bus| {
            orchestrator::App::build(&s, &bus).await?.service()
        }),
        ServiceName::ToolRunner => {
            run::main("tool-runner", &[], async |s, bus| tool_runner::App::build(&s, &bus).await?.service())
        }
        ServiceName::Memory => run::main("memory", &[], async |s, bus| ::memory::App::build(&s, &bus).await?.service()),
        ServiceName::AdapterCli => {
            run::main("adapter-cli", &[], async |s, bus| adapter_cli::App::build(&s, &bus).await?.service())
        }
    }
}

pub(crate) fn completions(shell: Shell) -> ExitCode {
    clap_complete::generate(shell, &mut Cli::command(), "clara", &mut std::io::stdout());
    ExitCode::SUCCESS
}

/// Connects to the Clara that the configuration names, or to the one that runs
/// in the data folder. Starts nothing.
pub(crate) async fn attach(settings: &Settings) -> anyhow::Result<Bus> {
    Ok(Bus::attach(&running(settings)?, &run::replica("clara")).await?)
}

/// The server of the Clara that runs.
fn running(settings: &Settings) -> anyhow::Result<Server> {
    let mut server = run::server(settings);
    if !settings.is_given("NATS_URL") {
        let folder = Folder::open(settings)?;
        // She would not stay for a command alone, once the last conversation has ended; the system
        // lets go of it when this process ends.
        std::mem::forget(folder.open_terminal()?);
        let running = folder.running()?;
        let running = running.context("Clara is not running: start her with `clara up` or `clara chat`")?;
        server = running.server(settings);
    }
    Ok(server)
}

/// The person at this terminal.
pub(crate) fn person(settings: &Settings) -> domain::message::Principal {
    domain::message::Principal {
        user: settings.text("CLI_USER_ID"),
        name: settings.text("USER"),
        tenant: "local".into(),
    }
}

/// A point in time, as people read it.
pub(crate) fn time(at_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
