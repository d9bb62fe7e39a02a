//! The life of a service process: settings, logs, bus, parts, stop.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use bus::{Bus, Login, Server};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::settings::{Fault, Settings};
use crate::supervision::{self, Part};
use crate::telemetry::{self, Logs};
use crate::{health, signal};

/// Exit status for a configuration that cannot work (sysexits: EX_CONFIG).
pub const EXIT_CONFIG: u8 = 78;

/// What a service runs: its parts, and the names it is announced under.
pub struct Service {
    pub name: &'static str,
    pub parts: Vec<Part>,
}

/// Finds what is wrong with settings beyond their form.
pub type Check = fn(&Settings) -> Result<(), Fault>;

/// Runs one service as this process: what each `main` calls. `checks` are the
/// service's own; their faults are told together with all others.
pub fn main<B, F>(name: &'static str, checks: &[Check], build: B) -> ExitCode
where
    B: FnOnce(Settings, Bus) -> F,
    F: Future<Output = anyhow::Result<Service>>,
{
    // With several crypto providers compiled in, rustls wants one named.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (settings, mut faults) = Settings::read();
    faults.extend(checks.iter().filter_map(|check| check(&settings).err()));
    if !faults.is_empty() {
        return refuse(&faults);
    }
    let _telemetry = telemetry::init(name, &settings, Logs::Stderr);
    settings.warn_unknown();
    let served = runtime().and_then(|runtime| {
        runtime.block_on(async {
            let stop = signal::shutdown().context("listen for signals")?;
            let bus = Bus::connect(&server(&settings), &replica(name)).await?;
            let service = build(settings.clone(), bus.clone()).await.with_context(|| format!("start {name}"))?;
            serve(vec![service], &settings, bus, stop, |address| info!(%address, service = name, "ready")).await
        })
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            error!(error = format!("{err:#}"), "failed to run {name}");
            eprintln!("{name}: {err:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints every fault of the configuration at once.
pub fn refuse(faults: &[Fault]) -> ExitCode {
    eprintln!("the configuration cannot work:");
    for fault in faults {
        eprintln!("  {fault}");
    }
    ExitCode::from(EXIT_CONFIG)
}

pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")
}

/// A name for this process that no other has.
pub fn replica(service: &str) -> String {
    let random = uuid::Uuid::now_v7().simple().to_string();
    format!("{service}-{}", &random[random.len() - 12..])
}

/// The server that the configuration names.
pub fn server(settings: &Settings) -> Server {
    let login = if let Some(path) = settings.optional("NATS_CREDENTIALS_FILE") {
        Login::Credentials(path.into())
    } else if let Some(token) = settings.secret("NATS_TOKEN") {
        Login::Token(token)
    } else if let (Some(user), Some(password)) = (settings.optional("NATS_USER"), settings.secret("NATS_PASSWORD")) {
        Login::Password { user, password }
    } else {
        Login::Anonymous
    };
    Server {
        url: settings.text("NATS_URL"),
        login,
        replicas: usize::try_from(settings.number("CLARA_STREAM_REPLICAS")).unwrap_or(1),
        wait: Duration::from_secs(settings.number("CLARA_NATS_WAIT_SECONDS")),
    }
}

/// Announces services, runs their parts, and stops them in one order: stop
/// pulling, finish what is in work, flush the bus.
pub async fn serve(
    services: Vec<Service>,
    settings: &Settings,
    bus: Bus,
    stop: CancellationToken,
    ready: impl FnOnce(std::net::SocketAddr),
) -> anyhow::Result<()> {
    let (serving, is_serving) = watch::channel(false);
    let readiness = health::Readiness { bus: bus.connected(), serving: is_serving };
    let wanted = settings.text("CLARA_HEALTH_ADDRESS");
    let address = health::serve(&wanted, readiness).await.with_context(|| {
        format!("cannot listen on CLARA_HEALTH_ADDRESS={wanted}; another process may use it: choose another port, or 0")
    })?;
    let mut announced = Vec::new();
    let mut parts = Vec::new();
    for service in services {
        announced.push(bus.announce(service.name).await?);
        parts.extend(service.parts);
    }
    let grace = Duration::from_secs(settings.number("CLARA_SHUTDOWN_GRACE_SECONDS"));
    let draining = stop.clone();
    let watch = async {
        serving.send_replace(true);
        ready(address);
        draining.cancelled().await;
        serving.send_replace(false);
    };
    let (ended, ()) = tokio::join!(
        async {
            let ended = supervision::run(parts, stop.clone(), grace).await;
            stop.cancel();
            ended
        },
        watch
    );
    drop(announced);
    bus.flush().await;
    ended
}
