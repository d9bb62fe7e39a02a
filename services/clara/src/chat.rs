//! The terminal: a client of adapter-cli, for people and for scripts.

mod client; // Speaking and listening.
mod interactive; // For people.
mod live; // From deltas to what is shown.
mod markdown; // Rendering as it streams.
mod piped; // For scripts.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use service_kit::run;
use service_kit::settings::Settings;

use crate::commands::person;
use crate::local::Folder;
use client::Client;

/// What `!help` says.
const HELP: &str = "\
!help     this
!status   what is running
!clear    start afresh; what Clara remembers of you stays
!high !opus, !mid !sonnet, !low !haiku !fast   before a message: which model answers it
Ctrl-C    stops the answer; a second one leaves. `clara stop` or `never mind` stop it too.
Ctrl-D    leaves";

/// Opens a conversation; starts Clara if she is not running here.
pub(crate) async fn run(
    settings: Settings,
    conversation: String,
    timeout: Duration,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut server = run::server(&settings);
    let mut local = None;
    let mut model = None;
    if !settings.is_given("NATS_URL") {
        let folder = Folder::open(&settings)?;
        // Held while this terminal is open, so that she stays.
        let terminal = folder.open_terminal()?;
        let loud = std::io::stderr().is_terminal() && !json;
        for line in settings.unknown() {
            eprintln!("warning: {line}");
        }
        let running = folder.ensure_running(|| {
            if loud {
                eprintln!("Starting Clara (data in {}) …", folder.path().display());
            }
        });
        let running = running.await?;
        server = running.server(&settings);
        model = Some(running.model);
        local = Some((folder, terminal));
    }
    let guarded = local.as_ref().map(|(folder, _)| folder.clone());
    let client = Client::open(&server, person(&settings), conversation, guarded).await?;
    if std::io::stdin().is_terminal() && !json {
        interactive::run(client, &settings, model, timeout).await
    } else {
        piped::run(client, &settings, timeout, json).await
    }
}
