//! Which sandbox holds here, found out when the runner starts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::tool::SandboxReport;
use service_kit::settings::Settings;
use tracing::{info, warn};

use crate::adapters::bubblewrap::Bubblewrap;
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
    match mode.as_str() {
        "auto" | "bubblewrap" => match Bubblewrap::probe(limits, web.clone()).await {
            Ok(bubblewrap) => {
                report.chosen = bubblewrap.name().to_owned();
                info!(sandbox = report.chosen, "code runs in a sandbox");
                let folder = settings.data_dir().join("workspaces");
                let sandbox: Arc<dyn Sandbox> = Arc::new(bubblewrap);
                return Ok((Some(Arc::new(Place { sandbox, limits, folder, hosts, background, packages })), report));
            }
            Err(why) => report.others.push(format!("bubblewrap: {why}")),
        },
        "off" => report.others.push("SANDBOX_MODE is off".to_owned()),
        other => report.others.push(format!("{other}: this build has no such sandbox; bubblewrap is the one it has")),
    }
    warn!(why = report.others.join("; "), "no sandbox holds here; no code is run");
    Ok((None, report))
}
