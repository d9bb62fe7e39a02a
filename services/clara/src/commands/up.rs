//! Everything in the foreground: nats-server, then the services, one line.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use bus::Bus;
use model::ModelConfig;
use rustix::process::{Pid, Signal, kill_process};
use service_kit::run::{self, server};
use service_kit::settings::Settings;
use service_kit::signal;
use service_kit::task::{self, TaskKind};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::app::App;
use crate::local::nats_server::NatsServer;
use crate::local::{Folder, Running};

/// How long no terminal may be open before a background Clara stops.
const IDLE: Duration = Duration::from_secs(30);
/// How often terminals are looked for.
const LOOK: Duration = Duration::from_secs(3);
/// How long `down` waits.
const DOWN: Duration = Duration::from_secs(40);

pub(super) async fn run(mut settings: Settings, until_idle: bool, json: bool) -> anyhow::Result<ExitCode> {
    // Before anything slow: a signal during the start is heard too.
    let stop = signal::shutdown().context("listen for signals")?;
    let folder = Folder::open(&settings)?;
    let Some(_running) = folder.become_running()? else {
        bail!("Clara runs in {} already; `clara status` shows her, `clara down` stops her", folder.path().display());
    };
    let mut nats = None;
    let mut named = server(&settings);
    if !settings.is_given("NATS_URL") {
        let own = NatsServer::start(&settings, &folder).await?;
        named.url = own.url();
        named.login = bus::Login::token(own.token());
        // Known as a secret, it is kept out of what leaves.
        settings = settings.with([("NATS_TOKEN", own.token())]);
        nats = Some(own);
    }
    let served = serve(&settings, &folder, named, &mut nats, stop, until_idle, json).await;
    folder.withdraw();
    if let Some(nats) = nats {
        nats.stop().await;
    }
    served?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(
    settings: &Settings,
    folder: &Folder,
    named: bus::Server,
    nats: &mut Option<NatsServer>,
    stop: CancellationToken,
    until_idle: bool,
    json: bool,
) -> anyhow::Result<()> {
    let token = nats.as_ref().map(|nats| nats.token().to_owned());
    let bus = Bus::connect(&named, &run::replica("clara")).await?;
    let services = App::build(settings, &bus).await?.services();
    if until_idle {
        task::spawn(TaskKind::Watch, "watch-terminals", stop_when_idle(folder.clone(), stop.clone()));
    }
    let ready = |address: std::net::SocketAddr| {
        let running = Running {
            pid: std::process::id(),
            nats_url: named.url.clone(),
            health: format!("http://{address}"),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            model: ModelConfig::from_settings(settings).map_or("unknown", |config| config.name).to_owned(),
            token: token.clone(),
        };
        if let Err(err) = folder.publish(&running) {
            tracing::error!(error = %err, "failed to say where Clara is reached");
        }
        if json {
            println!("{}", running.to_json());
        } else {
            let bus = bus::shown_url(&running.nats_url);
            println!("Clara is ready: bus {bus}, health {}/readyz. Ctrl-C stops her.", running.health);
        }
    };
    let serving = run::serve(services, settings, bus, stop.clone(), ready);
    match nats {
        None => serving.await,
        Some(nats) => {
            // The server is looked after until the services have finished on it.
            let finished = CancellationToken::new();
            let (served, ()) = tokio::join!(
                async {
                    let served = serving.await;
                    finished.cancel();
                    served
                },
                nats.look_after(finished.clone())
            );
            served
        }
    }
}

async fn stop_when_idle(folder: Folder, stop: CancellationToken) {
    let mut idle = Duration::ZERO;
    while idle < IDLE {
        tokio::time::sleep(LOOK).await;
        idle = if folder.has_terminals() { Duration::ZERO } else { idle + LOOK };
    }
    info!("no terminal is open any more; stopping");
    stop.cancel();
}

/// Stops the Clara of the data folder, and waits until she is gone.
pub(super) async fn down(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let folder = Folder::open(settings)?;
    let Some(running) = folder.running()? else {
        println!("{}", if json { r#"{"stopped":false}"# } else { "Clara is not running." });
        return Ok(ExitCode::SUCCESS);
    };
    let pid = i32::try_from(running.pid).ok().and_then(Pid::from_raw).context("read Clara's process number")?;
    kill_process(pid, Signal::TERM).context("stop Clara")?;
    let deadline = tokio::time::Instant::now() + DOWN;
    while folder.become_running()?.is_none() {
        if tokio::time::Instant::now() > deadline {
            bail!("Clara (process {}) did not stop within {DOWN:?}", running.pid);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("{}", if json { r#"{"stopped":true}"# } else { "Clara has stopped." });
    Ok(ExitCode::SUCCESS)
}
