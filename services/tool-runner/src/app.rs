//! Building and running the tool runner.

mod sandbox;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bus::{Bus, Consumer, Endpoints};
use domain::message::Principal;
use domain::tool::{ListTools, SandboxReport, ToolSpec};
use service_kit::run::Service;
use service_kit::settings::Settings;
use service_kit::supervision::Part;
use store::Database;

use self::sandbox::Reporter;
use crate::actors::breakers::Breakers;
use crate::actors::lister::Lister;
use crate::actors::runner::Runner;
use crate::actors::stops::Stops;
use crate::adapters::backgrounds::SqlBackgrounds;
use crate::adapters::guard::Guard;
use crate::adapters::rmcp::{OAuth, RmcpConnector};
use crate::adapters::sealed::MasterKey;
use crate::adapters::sql::{self, SqlCalls, SqlInstallations, SqlRateLimits};
use crate::adapters::subagents::SqlChildren;
use crate::adapters::vault::Vault;
use crate::mcp::{CallLimits, Plugins, Servers, Watched};
use crate::outgoing::Outgoing;
use crate::ports::{Backgrounds, Children};
use crate::registry::{Registry, Tool};
use crate::tools;
use crate::web::{Engine, GitHub, Search, Smithery, Web};

/// Calls that one process runs at the same time.
const CALLS: usize = 64;

/// The tool runner, connected.
pub struct App {
    bus: Bus,
    runner: Arc<Runner>,
    lister: Arc<Lister>,
    reporter: Arc<Reporter>,
    plugins: Arc<Plugins>,
    watched: Arc<Watched>,
    has_sandbox: bool,
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
        let database = match settings.optional("DATABASE_URL") {
            Some(url) if url.starts_with("postgres") => Database::postgres(&url).await,
            Some(_) | None => Database::sqlite(&settings.data_dir().join("tools.sqlite")).await,
        };
        let database = database.context("open the database of tools")?;
        sql::prepare(&database).await?;
        let key = MasterKey::open(settings.secret("CLARA_SECRET_KEY"), &settings.data_dir().join("secrets.key"));
        let vault = Vault::new(database.clone(), key.context("open the key of secrets")?);
        let oauth = Arc::new(OAuth::new(vault, settings.optional("CLARA_OAUTH_CLIENT_URL")));
        let children: Arc<dyn Children> = Arc::new(SqlChildren::new(database.clone()));
        let backgrounds: Arc<dyn Backgrounds> = Arc::new(SqlBackgrounds::new(database.clone()));
        let folder = settings.data_dir().join("mcp");
        let guard = Arc::new(Guard::new().context("find this program, which guards servers")?);
        let connector = Arc::new(RmcpConnector { folder, oauth: Arc::clone(&oauth), guard });
        let web = Web::new(settings.list("CLARA_WEB_PRIVATE_HOSTS")).context("prepare the way to the web")?;
        let plugins = Arc::new(Plugins {
            github: GitHub { web: web.clone(), base: settings.text("CLARA_GITHUB_RAW_URL") },
            installations: Arc::new(SqlInstallations::new(database.clone())),
            calls: Arc::new(SqlCalls::new(database.clone())),
            rate_limits: Arc::new(SqlRateLimits::new(database)),
            connector,
            authorities: oauth,
            servers: Servers::default(),
            admins: settings.list("CLARA_ADMINS"),
            limit: Duration::from_secs(settings.number("CLARA_MCP_TIMEOUT_SECONDS")),
            limits: CallLimits {
                minute: settings.number("CLARA_MCP_CALLS_PER_MINUTE"),
                hour: settings.number("CLARA_MCP_CALLS_PER_HOUR"),
                day: settings.number("CLARA_MCP_CALLS_PER_DAY"),
            },
            bus: bus.clone(),
        });
        let (place, reporter) = sandbox::sandbox(settings, &web).await?;
        let mut built_in =
            tools::all(bus, &plugins, place.as_ref(), &files, limits, &settings.text("DEFAULT_TIMEZONE"))
                .with_context(|| {
                    format!("open CLARA_FILES_DIR={}: name a folder that can be written", files.display())
                })?;
        built_in.extend(of_web(settings, &web));
        let stops = Stops::default();
        built_in.extend(tools::subagents::all(bus, &children, &stops));
        built_in.extend(place.iter().flat_map(|place| tools::processes::all(place, &backgrounds)));
        let registry = Registry::new(built_in, Arc::clone(&plugins), Outgoing { known: settings.secrets() })
            .context("register the built-in tools")?;
        let registry = Arc::new(registry);
        let runner = Runner {
            records: bus.tool_records().await?,
            registry: Arc::clone(&registry),
            replica: bus.replica().to_owned(),
            result_chars: limits.result_chars,
            stops,
            breakers: Breakers::default(),
        };
        Ok(Self {
            bus: bus.clone(),
            has_sandbox: place.is_some(),
            runner: Arc::new(runner),
            lister: Arc::new(Lister { registry, children }),
            reporter: Arc::new(reporter),
            plugins,
            watched: Arc::new(Watched {
                folder: settings
                    .optional("MCP_SERVERS_DIR")
                    .map_or_else(|| settings.data_dir().join(".mcp_servers"), PathBuf::from),
                file: settings.optional("CLARA_MCP_CONFIG").map(PathBuf::from),
            }),
        })
    }

    /// The parts that run until the process stops.
    pub fn service(self) -> anyhow::Result<Service> {
        let Self { bus, runner, lister, reporter, plugins, watched, has_sandbox } = self;
        let (of_sandbox, of_stops, of_reports) = (bus.clone(), bus.clone(), bus.clone());
        let (for_sandbox, stops) = (Arc::clone(&runner), runner.stops.clone());
        let (of_lister, of_servers, of_plugins) = (bus.clone(), bus.clone(), bus.clone());
        let for_servers = Arc::clone(&runner);
        let (parent_of, watching) = (Arc::clone(&plugins), Arc::clone(&plugins));
        Ok(Service {
            name: "tool-runner",
            parts: vec![
                Part::new("tool-runner/builtin", move |stop| {
                    let (bus, runner) = (bus.clone(), Arc::clone(&runner));
                    async move { Ok(bus.consume(Consumer::ToolBuiltin, CALLS, runner, stop).await?) }
                }),
                Part::new("tool-runner/mcp", move |stop| {
                    let (bus, runner, plugins) = (of_servers.clone(), Arc::clone(&for_servers), Arc::clone(&parent_of));
                    async move {
                        let Plugins { servers, connector, installations, .. } = plugins.as_ref();
                        let ended = servers.start(Arc::clone(connector), Arc::clone(installations)).await?;
                        let consumed = tokio::select! {
                            consumed = bus.consume(Consumer::ToolMcp, CALLS, runner, stop) => consumed.map_err(Into::into),
                            _ = ended => Err(anyhow::anyhow!("the parent of the MCP servers ended")),
                        };
                        // What is in work has ended.
                        servers.stop();
                        consumed
                    }
                }),
                Part::new("tool-runner/sandbox", move |stop| {
                    let (bus, runner) = (of_sandbox.clone(), Arc::clone(&for_sandbox));
                    async move {
                        if !has_sandbox {
                            // Other replicas may have one: their calls are left to them.
                            stop.cancelled().await;
                            return Ok(());
                        }
                        Ok(bus.consume(Consumer::ToolSandbox, CALLS, runner, stop).await?)
                    }
                }),
                Part::new("tool-runner/mcp-files", move |stop| {
                    let (plugins, watched) = (Arc::clone(&watching), Arc::clone(&watched));
                    async move {
                        plugins.watch(&watched, &stop).await;
                        Ok(())
                    }
                }),
                Part::new("tool-runner/stops", move |stop| {
                    let (bus, stops) = (of_stops.clone(), stops.clone());
                    async move { stops.hear(&bus, stop).await }
                }),
                Part::new("tool-runner/report", move |stop| {
                    let (bus, reporter) = (of_reports.clone(), Arc::clone(&reporter));
                    async move {
                        Ok(bus
                            .answer::<Principal, SandboxReport, _>(
                                "tools-sandbox",
                                Endpoints::ToolsSandbox,
                                reporter,
                                stop,
                            )
                            .await?)
                    }
                }),
                Part::new("tool-runner/plugins", move |stop| {
                    let (bus, plugins) = (of_plugins.clone(), Arc::clone(&plugins));
                    async move { Ok(bus.answer("tools-mcp", Endpoints::ToolsMcp, plugins, stop).await?) }
                }),
                Part::new("tool-runner/list", move |stop| {
                    let (bus, lister) = (of_lister.clone(), Arc::clone(&lister));
                    async move {
                        Ok(bus
                            .answer::<ListTools, Vec<ToolSpec>, _>("tools-list", Endpoints::ToolsList, lister, stop)
                            .await?)
                    }
                }),
            ],
        })
    }
}

/// The tools of the web, with the engine that is configured.
fn of_web(settings: &Settings, web: &Web) -> Vec<Arc<dyn Tool>> {
    let engine = match (settings.secret("TAVILY_API_KEY"), settings.optional("SEARXNG_URL")) {
        (Some(key), _) => Some(Engine::Tavily { base: settings.text("TAVILY_BASE_URL"), key }),
        (None, Some(base)) => Some(Engine::Searxng { base }),
        (None, None) => None,
    };
    let search = engine.map(|engine| Search { web: web.clone(), engine });
    let mut tools = tools::web::all(web, search);
    let smithery = settings.secret("SMITHERY_API_KEY").map(|key| {
        let base = settings.text("CLARA_SMITHERY_BASE_URL");
        tools::web::smithery(Smithery { web: web.clone(), base, key })
    });
    tools.extend(smithery);
    tools
}
