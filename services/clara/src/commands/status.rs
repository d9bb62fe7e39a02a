//! What is running.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use service_kit::settings::Settings;

use super::attach;
use crate::local::Folder;

/// How long services may take to answer.
pub(super) const ANSWERS: Duration = Duration::from_millis(500);

/// The services that make a whole Clara.
pub(super) const SERVICES: [&str; 6] = ["adapter-cli", "memory", "orchestrator", "processor", "router", "tool-runner"];

pub(super) async fn run(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let folder = Folder::open(settings)?;
    let running = folder.running()?;
    if running.is_none() && !settings.is_given("NATS_URL") {
        let data = folder.path().display().to_string();
        match json {
            true => println!("{}", json!({"event": "status_report", "running": false, "data": data})),
            false => println!("Clara is not running (data folder {data}). Start her with `clara chat` or `clara up`."),
        }
        return Ok(ExitCode::FAILURE);
    }
    let bus = attach(settings).await?;
    let found = bus.services(ANSWERS).await?;
    let replicas = |name: &str| found.iter().filter(|service| service.name == name).count();
    if json {
        let services: serde_json::Map<_, _> =
            SERVICES.iter().map(|name| ((*name).to_owned(), json!(replicas(name)))).collect();
        println!(
            "{}",
            json!({
                "event": "status_report", "running": true, "nats_url": bus.url(), "nats_version": bus.server_version(),
                "local": running.as_ref().map(crate::local::Running::to_json), "services": services,
            })
        );
    } else {
        println!("Clara is running on {} (nats-server {}).", bus.url(), bus.server_version());
        if let Some(running) = &running {
            println!("Process {}, version {}, health {}/readyz", running.pid, running.version, running.health);
        }
        for name in SERVICES {
            println!(
                "  {name:<14} {}",
                match replicas(name) {
                    0 => "missing".to_owned(),
                    1 => "1 replica".to_owned(),
                    many => format!("{many} replicas"),
                }
            );
        }
    }
    let whole = SERVICES.iter().all(|name| replicas(name) > 0);
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
