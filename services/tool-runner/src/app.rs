//! Building and running the tool runner.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use bus::{Bus, Consumer, Endpoints};
use service_kit::run::Service;
use service_kit::settings::Settings;
use service_kit::supervision::Part;

use crate::actors::lister::Lister;
use crate::actors::runner::Runner;
use crate::registry::Registry;
use crate::tools;

/// Calls that one process runs at the same time.
const CALLS: usize = 64;

/// The tool runner, connected.
pub struct App {
    bus: Bus,
    runner: Arc<Runner>,
    lister: Arc<Lister>,
}

impl App {
    /// Opens the files' folder and registers the tools.
    pub async fn build(settings: &Settings, bus: &Bus) -> anyhow::Result<Self> {
        let files =
            settings.optional("CLARA_FILES_DIR").map_or_else(|| settings.data_dir().join("files"), PathBuf::from);
        let limits = tools::Limits {
            file_bytes: settings.number("CLARA_MAX_FILE_SIZE"),
            result_chars: usize::try_from(settings.number("GATEWAY_MAX_TOOL_RESULT_CHARS"))?,
        };
        let built_in = tools::all(bus, &files, limits, &settings.text("DEFAULT_TIMEZONE"))
            .with_context(|| format!("open CLARA_FILES_DIR={}: name a folder that can be written", files.display()))?;
        let registry = Arc::new(Registry::new(built_in).context("register the built-in tools")?);
        let runner = Runner {
            records: bus.tool_records().await?,
            registry: Arc::clone(&registry),
            replica: bus.replica().to_owned(),
            result_chars: limits.result_chars,
        };
        Ok(Self { bus: bus.clone(), runner: Arc::new(runner), lister: Arc::new(Lister { registry }) })
    }

    /// The parts that run until the process stops.
    pub fn service(self) -> anyhow::Result<Service> {
        let Self { bus, runner, lister } = self;
        let of_lister = bus.clone();
        Ok(Service {
            name: "tool-runner",
            parts: vec![
                Part::new("tool-runner/builtin", move |stop| {
                    let (bus, runner) = (bus.clone(), Arc::clone(&runner));
                    async move { Ok(bus.consume(Consumer::ToolBuiltin, CALLS, runner, stop).await?) }
                }),
                Part::new("tool-runner/list", move |stop| {
                    let (bus, lister) = (of_lister.clone(), Arc::clone(&lister));
                    async move { Ok(bus.answer("tools-list", Endpoints::ToolsList, lister, stop).await?) }
                }),
            ],
        })
    }
}
