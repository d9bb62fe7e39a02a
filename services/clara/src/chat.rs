//! The terminal: a client of adapter-cli, for people and for scripts.

pub(crate) mod client; // Speaking and listening.
mod files; // What goes with a message.
mod interactive; // For people.
pub(crate) mod live; // From deltas to what is shown.
mod markdown; // Rendering as it streams.
mod piped; // For scripts.
mod projects; // What the conversation is about.
mod servers; // What MCP servers offer.

use std::fs::File;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bus::Server;
use domain::approval::ApprovalMode;
use domain::queue::QueueMode;
use proto::terminal::Saying;
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
!queue followup|collect|steer|interrupt   what becomes of what you send while she works
!mode auto|chat   which calls of tools you are asked for: those that the policy says, or every one
!approvals   what waits for your word, in any conversation; !approve <id>, !deny <id>; without an id what was just asked here
/tools, /resources, /resource:<uri>, /subscribe:/resource:<uri>, /prompts, /prompt:<name>/<argument>=<value>, /refresh, /remove_server:<name>   of MCP servers
!attach <file>   goes with your next message: texts and images are read; !attach none takes it back
!project <name>, !project, !project none   what is said here belongs to a project of yours, with memories of its own
!link <platform> <id>, !link status, !unlink   one memory for several accounts of yours
!high !opus, !mid !sonnet, !low !haiku !fast   before a message: which model answers it
Ctrl-C    stops the answer; a second one leaves. `clara stop` or `never mind` stop it too.
Ctrl-D    leaves";

/// What a line that was typed means; the error is a word to the person.
fn saying(line: String) -> Result<Saying, String> {
    let mut words = line.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("!clear"), None, None) => Ok(Saying::Reset),
        (Some("!queue"), Some(mode), None) => match QueueMode::parse(mode) {
            Some(mode) => Ok(Saying::Mode(mode)),
            None => Err(format!("there is no mode `{mode}`; the modes are: {}", modes())),
        },
        (Some("!queue"), ..) => Err(format!("say which mode: !queue {}", modes())),
        (Some("!mode" | "/mode"), Some(mode), None) => approval(mode),
        (Some("!mode" | "/mode"), ..) => Err("say which mode: !mode auto, or !mode chat".to_owned()),
        // As MCPOmni Connect's users type it.
        (Some(word), None, None) if word.starts_with("/mode:") => approval(&word["/mode:".len()..]),
        _ => Ok(Saying::text(line)),
    }
}

fn approval(mode: &str) -> Result<Saying, String> {
    let mode = ApprovalMode::parse(mode).map(Saying::Approval);
    mode.ok_or_else(|| "there are two modes: !mode auto, and !mode chat".to_owned())
}

fn modes() -> String {
    QueueMode::ALL.map(QueueMode::as_str).join(", ")
}

/// A Clara that can be talked with.
pub(crate) struct Reached {
    pub(crate) server: Server,
    /// Her folder, if she runs here, with what keeps her running.
    pub(crate) local: Option<(Folder, File)>,
    /// The model that answers, if it is known here.
    model: Option<String>,
}

/// Finds Clara; starts her if she is to run here and does not.
pub(crate) async fn reach(settings: &Settings, loud: bool) -> anyhow::Result<Reached> {
    if settings.is_given("NATS_URL") {
        return Ok(Reached { server: run::server(settings), local: None, model: None });
    }
    let folder = Folder::open(settings)?;
    // Held while this terminal is open, so that she stays.
    let terminal = folder.open_terminal()?;
    for line in settings.unknown() {
        eprintln!("warning: {line}");
    }
    let running = folder.ensure_running(|| {
        if loud && std::io::stderr().is_terminal() {
            eprintln!("Starting Clara (data in {}) …", folder.path().display());
        }
    });
    let running = running.await?;
    Ok(Reached { server: running.server(settings), model: Some(running.model), local: Some((folder, terminal)) })
}

/// Opens a conversation; starts Clara if she is not running here.
pub(crate) async fn run(
    settings: Settings,
    conversation: String,
    attach: Vec<PathBuf>,
    timeout: Duration,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let Reached { server, local, model } = reach(&settings, !json).await?;
    let guarded = local.as_ref().map(|(folder, _)| folder.clone());
    let mut client = Client::open(&server, person(&settings), conversation, guarded).await?;
    for path in attach {
        client.attach(&path).await.map_err(anyhow::Error::msg)?;
    }
    if std::io::stdin().is_terminal() && !json {
        interactive::run(client, &settings, model, timeout).await
    } else {
        piped::run(client, &settings, timeout, json).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_messages() {
        let said = |line: &str| saying(line.to_owned());
        assert_eq!(said("!clear"), Ok(Saying::Reset));
        assert_eq!(said(" !queue Steer "), Ok(Saying::Mode(QueueMode::Steer)));
        for typed in ["!mode chat", "/mode chat", "/mode:chat"] {
            assert_eq!(said(typed), Ok(Saying::Approval(ApprovalMode::Chat)));
        }
        assert!(said("/mode:orchestrator").is_err() && said("!mode").is_err());
        assert!(said("!queue both").unwrap_err().contains("followup, collect"));
        assert!(said("!queue").is_err());
        assert_eq!(said("!clear the table"), Ok(Saying::text("!clear the table")));
        assert_eq!(said("hello"), Ok(Saying::text("hello")));
    }
}
