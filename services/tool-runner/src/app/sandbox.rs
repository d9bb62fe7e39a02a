//! Which sandbox holds here, found out when the runner starts; and why others do not, when somebody
//! asks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use bus::Serve;
use domain::message::Principal;
use domain::tool::SandboxReport;
use futures::future::join_all;
use service_kit::settings::Settings;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::adapters::bubblewrap::Bubblewrap;
use crate::adapters::docker::DockerSandbox;
use crate::adapters::incus::IncusSandbox;
use crate::sandbox::{Limits, Sandbox};
use crate::tools::sandbox::{Packages, Place};
use crate::web::{Host, Web};

/// The ways there are, the best first.
const ALL: [&str; 3] = ["bubblewrap", "docker", "incus"];
/// How long one of the others may take to be tried.
const TRIAL: Duration = Duration::from_secs(90);
/// How long what was found of them is said again.
const FRESH: Duration = Duration::from_secs(60);

/// The sandbox that holds here, with who says of the others why they do not; none when none does.
pub(super) async fn sandbox(settings: &Settings, web: &Web) -> anyhow::Result<(Option<Arc<Place>>, Reporter)> {
    let megabytes = |name: &str| settings.number(name) << 20;
    let limits = Limits {
        time: Duration::from_secs(settings.number("CLARA_SANDBOX_SECONDS")),
        memory_bytes: megabytes("CLARA_SANDBOX_MEMORY_MB"),
        processes: settings.number("CLARA_SANDBOX_PROCESSES"),
        cpu_percent: settings.number("CLARA_SANDBOX_CPU_PERCENT"),
        file_bytes: megabytes("CLARA_SANDBOX_FILE_MB"),
        output_bytes: 1 << 20,
        folder_bytes: megabytes("CLARA_SANDBOX_FOLDER_MB"),
    };
    let hosts = |name: &str| -> anyhow::Result<Arc<[Host]>> {
        let hosts = settings.list(name);
        let hosts =
            hosts.iter().filter(|host| *host != "off").map(|host| host.parse()).collect::<Result<Vec<Host>, String>>();
        Ok(hosts.map_err(anyhow::Error::msg).context(name.to_owned())?.into())
    };
    let (hosts, of_packages) = (hosts("CLARA_SANDBOX_HOSTS")?, hosts("CLARA_SANDBOX_PACKAGE_HOSTS")?);
    let index = settings.text("CLARA_SANDBOX_INDEX_URL");
    let packages = (!of_packages.is_empty()).then_some(Packages { index, hosts: of_packages });
    let background = Duration::from_secs(60 * settings.number("CLARA_SANDBOX_BACKGROUND_MINUTES"));
    let candidates = Candidates { settings: settings.clone(), limits, web: web.clone() };
    let mut refused = Vec::new();
    for name in candidates.names() {
        match candidates.probe(&name).await {
            Ok(sandbox) => {
                info!(sandbox = sandbox.name(), "code runs in a sandbox");
                let folder = settings.data_dir().join("workspaces");
                let place = Arc::new(Place { sandbox, limits, folder, hosts, background, packages });
                return Ok((Some(place), Reporter::new(name, candidates)));
            }
            Err(why) => refused.push(format!("{name}: {why}")),
        }
    }
    warn!(why = refused.join("; "), "no sandbox holds here; no code is run");
    Ok((None, Reporter::new(String::new(), candidates)))
}

/// The ways in which code may run, as they are configured.
struct Candidates {
    settings: Settings,
    limits: Limits,
    web: Web,
}

impl Candidates {
    /// The best first.
    fn names(&self) -> Vec<String> {
        let mode = self.settings.text("SANDBOX_MODE");
        if mode == "auto" { ALL.map(str::to_owned).into() } else { vec![mode] }
    }

    /// One of them, if it holds here; the error says why it does not.
    async fn probe(&self, name: &str) -> Result<Arc<dyn Sandbox>, String> {
        let Self { settings, limits, web } = self;
        probe(name, settings, *limits, web).await
    }
}

/// Says where code runs, and what becomes of the other ways: they are tried when somebody asks.
pub(super) struct Reporter {
    /// The way that was found at the start; empty if none was.
    chosen: String,
    candidates: Candidates,
    /// What was found last, and when: each trial runs what wants more than it may have.
    last: Mutex<Option<(Instant, SandboxReport)>>,
}

impl Reporter {
    fn new(chosen: String, candidates: Candidates) -> Self {
        Self { chosen, candidates, last: Mutex::new(None) }
    }

    /// What is to be said of a way that is not used.
    async fn about(&self, name: &str) -> String {
        let wanted = self.candidates.names();
        if !wanted.iter().any(|wanted| wanted == name) {
            return format!("{name}: not tried, since SANDBOX_MODE={} leaves it out", wanted.join(","));
        }
        let tried = tokio::time::timeout(TRIAL, self.candidates.probe(name)).await;
        let found = match tried.unwrap_or_else(|_| Err(format!("it took longer than {TRIAL:?}"))) {
            Ok(_) if self.chosen.is_empty() => "it holds by now: start the tool runner anew to use it".to_owned(),
            Ok(_) => format!("it holds too, and {} comes first", self.chosen),
            Err(why) => why,
        };
        format!("{name}: {found}")
    }
}

#[async_trait]
impl Serve<Principal, SandboxReport> for Reporter {
    async fn serve(&self, _: Principal) -> Result<SandboxReport, String> {
        let mut last = self.last.lock().await;
        if let Some((at, report)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return Ok(report.clone());
        }
        let mut names: Vec<String> = ALL.map(str::to_owned).into();
        // Such as `off`, or one that this build does not know.
        names.extend(self.candidates.names().into_iter().filter(|name| !ALL.contains(&name.as_str())));
        let others = names.iter().filter(|name| **name != self.chosen).map(|name| self.about(name));
        let report = SandboxReport { chosen: self.chosen.clone(), others: join_all(others).await };
        *last = Some((Instant::now(), report.clone()));
        Ok(report)
    }
}

/// One of them, if it holds here; the error says why it does not.
async fn probe(name: &str, settings: &Settings, limits: Limits, web: &Web) -> Result<Arc<dyn Sandbox>, String> {
    Ok(match name {
        "bubblewrap" => Arc::new(Bubblewrap::probe(limits, web.clone()).await?),
        "docker" => {
            let (host, image) = (settings.text("DOCKER_HOST"), settings.text("DOCKER_SANDBOX_IMAGE"));
            Arc::new(
                DockerSandbox::probe(&host, image, settings.data_dir().join("workspaces"), limits, web.clone()).await?,
            )
        }
        "incus" => {
            let (socket, image) = (settings.text("INCUS_SOCKET"), settings.text("INCUS_SANDBOX_IMAGE"));
            let folder = settings.data_dir().join("workspaces");
            Arc::new(IncusSandbox::probe(Path::new(&socket), image, folder, limits, web.clone()).await?)
        }
        "off" => return Err("it is what SANDBOX_MODE says".to_owned()),
        _ => return Err("this build runs no virtual machines; bubblewrap, docker and incus are what it has".to_owned()),
    })
}
