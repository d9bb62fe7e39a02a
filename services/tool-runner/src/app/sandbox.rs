//! Which sandbox holds here, found out when the runner starts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::tool::SandboxReport;
use service_kit::settings::Settings;
use tracing::{info, warn};

use crate::adapters::bubblewrap::Bubblewrap;
use crate::adapters::docker::DockerSandbox;
use crate::adapters::incus::IncusSandbox;
use crate::sandbox::{Limits, Sandbox};
use crate::tools::sandbox::{Packages, Place};
use crate::web::{Host, Web};

/// The sandbox that holds here, with what was found; none when none does.
pub(super) async fn sandbox(settings: &Settings, web: &Web) -> anyhow::Result<(Option<Arc<Place>>, SandboxReport)> {
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
    let mode = settings.text("SANDBOX_MODE");
    let mut report = SandboxReport::default();
    // The best first.
    let names = if mode == "auto" { vec!["bubblewrap", "docker", "incus"] } else { vec![mode.as_str()] };
    for (number, name) in names.iter().enumerate() {
        match probe(name, settings, limits, web).await {
            Ok(sandbox) => {
                info!(sandbox = sandbox.name(), "code runs in a sandbox");
                report.chosen = sandbox.name().to_owned();
                let later = names.iter().skip(number + 1);
                report
                    .others
                    .extend(later.map(|later| format!("{later}: not tried, since {name} comes first and holds")));
                let folder = settings.data_dir().join("workspaces");
                return Ok((Some(Arc::new(Place { sandbox, limits, folder, hosts, background, packages })), report));
            }
            Err(why) => report.others.push(format!("{name}: {why}")),
        }
    }
    warn!(why = report.others.join("; "), "no sandbox holds here; no code is run");
    Ok((None, report))
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
