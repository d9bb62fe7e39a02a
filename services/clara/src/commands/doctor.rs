//! What is wrong, and what to do about it.

mod durability; // When what a server acknowledges is on its disk.

use std::process::ExitCode;
use std::time::Duration;

use bus::{Bus, Endpoints, Room};
use domain::memory::{FactAnswer, FactCommand, FactRequest};
use domain::tool::SandboxReport;
use model::ModelConfig;
use serde_json::json;
use service_kit::settings::Settings;

use super::status::{ANSWERS, SERVICES};
use super::{attach, person};
use crate::local::{Folder, nats_server};
use durability::Durability;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Good,
    Warning,
    Bad,
}

struct Finding {
    what: &'static str,
    grade: Grade,
    /// What is so, and, where it is not good, what to do.
    words: String,
}

/// How long the tool runner may take to try the sandboxes that it does not use.
const TRIALS: Duration = Duration::from_secs(100);

/// A round trip that is longer than this is worth a word.
const SLOW: Duration = Duration::from_millis(50);
/// Per cent of a stream from which on it is worth a word.
const NEARLY_FULL: u64 = 80;

pub(super) async fn run(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let mut findings = configuration(settings);
    findings.push(data_folder(settings));
    findings.push(program(settings));
    match attach(settings).await {
        Ok(bus) => findings.extend(the_bus(&bus, settings).await),
        Err(err) => {
            // A bus that somebody named must answer; a Clara that is not running is no fault.
            let grade = if settings.is_given("NATS_URL") { Grade::Bad } else { Grade::Warning };
            findings.push(Finding { what: "bus", grade, words: format!("{err:#}") });
        }
    }
    for finding in &findings {
        let grade = match finding.grade {
            Grade::Good => "ok",
            Grade::Warning => "warning",
            Grade::Bad => "bad",
        };
        if json {
            println!("{}", json!({"check": finding.what, "result": grade, "words": finding.words}));
        } else {
            println!("{grade:>7}  {:<14} {}", finding.what, finding.words);
        }
    }
    let bad = findings.iter().any(|finding| finding.grade == Grade::Bad);
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn good(what: &'static str, words: impl Into<String>) -> Finding {
    Finding { what, grade: Grade::Good, words: words.into() }
}

fn bad(what: &'static str, words: impl Into<String>) -> Finding {
    Finding { what, grade: Grade::Bad, words: words.into() }
}

fn configuration(settings: &Settings) -> Vec<Finding> {
    let mut findings: Vec<Finding> = settings
        .unknown()
        .into_iter()
        .map(|words| Finding { what: "configuration", grade: Grade::Warning, words })
        .collect();
    let (_, faults) = Settings::read();
    findings.extend(faults.iter().map(|fault| bad("configuration", fault.to_string())));
    findings.push(match ModelConfig::from_settings(settings) {
        Ok(config) if config.name == "offline" => Finding {
            what: "model",
            grade: Grade::Warning,
            words: "offline: fixed rules, not a language model; set OPENROUTER_API_KEY or another provider's key"
                .into(),
        },
        Ok(config) => {
            let tiers = [domain::tier::Tier::High, domain::tier::Tier::Mid, domain::tier::Tier::Low];
            let models: Vec<String> =
                tiers.iter().map(|tier| format!("{}: {}", tier.as_str(), config.model(*tier))).collect();
            good("model", format!("{} ({})", config.name, models.join(", ")))
        }
        Err(fault) => bad("model", fault.to_string()),
    });
    findings
}

fn data_folder(settings: &Settings) -> Finding {
    match Folder::open(settings) {
        Ok(folder) => good("data folder", folder.path().display().to_string()),
        Err(err) => bad("data folder", format!("{err:#}")),
    }
}

fn program(settings: &Settings) -> Finding {
    if settings.is_given("NATS_URL") {
        return good(
            "nats-server",
            format!("not started here: NATS_URL names {}", bus::shown_url(&settings.text("NATS_URL"))),
        );
    }
    match nats_server::find(settings) {
        Ok((program, version)) if nats_server::is_new_enough(&version) => {
            good("nats-server", format!("{version} at {}", program.display()))
        }
        Ok((program, version)) => {
            bad("nats-server", format!("{version} at {} is too old; install 2.10 or newer", program.display()))
        }
        Err(err) => bad("nats-server", format!("{err:#}")),
    }
}

/// A full stream refuses messages, and people are told so.
fn room(rooms: &[Room]) -> Finding {
    let full: Vec<String> = rooms
        .iter()
        .filter(|room| room.percent() >= NEARLY_FULL)
        .map(|room| format!("{} is {} % full", room.stream, room.percent()))
        .collect();
    if full.is_empty() {
        let fullest = rooms.iter().map(Room::percent).max().unwrap_or(0);
        return good("room", format!("the fullest stream is {fullest} % full"));
    }
    let words =
        "a full stream refuses messages; see what does not take them out with `clara status` and `clara dead list`";
    Finding { what: "room", grade: Grade::Warning, words: format!("{}: {words}", full.join(", ")) }
}

/// What the server says of itself, or, of our own, what it was started with.
async fn durable(settings: &Settings) -> Finding {
    let finding = |grade, words: String| Finding { what: "durability", grade, words };
    let always = "every message is written to disk before it is acknowledged";
    let Some(url) = settings.optional("NATS_MONITORING_URL") else {
        return match settings.is_given("NATS_URL") {
            false => good("durability", format!("{always} (sync_interval: always)")),
            true => finding(
                Grade::Warning,
                "a server that Clara did not start says only at its monitoring endpoint whether it syncs before it \
                 acknowledges: name it in NATS_MONITORING_URL, such as http://localhost:8222"
                    .into(),
            ),
        };
    };
    match durability::ask(&url).await {
        Ok(Durability::Always) => good("durability", format!("{always}, by the server's own word")),
        Ok(Durability::After(interval)) => finding(
            Grade::Warning,
            format!(
                "the server acknowledges what is on its disk up to {interval:?} later: a power cut loses that; set \
                 `sync_interval: always` in its jetstream section"
            ),
        ),
        Ok(Durability::NoJetStream) => bad("durability", "the server runs without JetStream; start it with -js"),
        Err(err) => finding(Grade::Warning, format!("NATS_MONITORING_URL={url} tells nothing: {err:#}")),
    }
}

async fn the_bus(bus: &Bus, settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.push(match bus.round_trip().await {
        Ok(time) if time > SLOW => Finding {
            what: "bus",
            grade: Grade::Warning,
            words: format!("{} answers in {time:?}, which is slow", bus.url()),
        },
        Ok(time) => good("bus", format!("{} (nats-server {}) answers in {time:?}", bus.url(), bus.server_version())),
        Err(err) => bad("bus", err.to_string()),
    });
    findings.push(match bus.inspect().await {
        Ok(problems) if problems.is_empty() => good("streams", "all as nats/streams.toml says"),
        Ok(problems) => bad("streams", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        Err(err) => bad("streams", err.to_string()),
    });
    findings.push(match bus.rooms().await {
        Ok(rooms) => room(&rooms),
        Err(err) => bad("room", err.to_string()),
    });
    findings.push(durable(settings).await);
    match bus.services(ANSWERS).await {
        Ok(found) => {
            let missing: Vec<&str> =
                SERVICES.into_iter().filter(|name| !found.iter().any(|service| service.name == *name)).collect();
            findings.push(match missing.is_empty() {
                true => good("services", "all answer"),
                false => bad(
                    "services",
                    format!("missing: {}; start them with `clara up` or `clara serve`", missing.join(", ")),
                ),
            });
        }
        Err(err) => findings.push(bad("services", err.to_string())),
    }
    findings.push(match bus.request(Endpoints::ToolsSandbox, &person(settings), TRIALS).await {
        Ok(SandboxReport { chosen, others }) if !chosen.is_empty() => {
            let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join("; ")) };
            good("sandbox", format!("code runs in {chosen}{others}"))
        }
        Ok(SandboxReport { others, .. }) => Finding {
            what: "sandbox",
            grade: Grade::Warning,
            words: format!("none holds where the tool runner is, so no code is run: {}", others.join("; ")),
        },
        Err(err) => bad("sandbox", format!("the tool runner does not say: {err}")),
    });
    let asked = FactRequest {
        principal: person(settings),
        asking: None,
        command: FactCommand::List { limit: 1, before: None, project: String::new() },
    };
    findings.push(match bus.request::<_, FactAnswer>(Endpoints::MemoryFacts, &asked, Duration::from_secs(5)).await {
        Ok(_) => good("memory", "its database answers"),
        Err(err) => bad("memory", format!("{err}; its log says more")),
    });
    findings
}
