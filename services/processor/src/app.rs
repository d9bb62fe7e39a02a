//! Building and running the processor.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bus::{Bus, Consumer};
use model::ModelConfig;
use service_kit::run::Service;
use service_kit::settings::Settings;
use service_kit::supervision::Part;
use spending::Budgets;

use crate::actors::preparer::Preparer;
use crate::adapters::services::Services;
use crate::counts::Counts;
use crate::prompt::Voice;
use crate::rules;
use crate::tier::{PATIENCE, TierChoice};

/// Turns that are prepared at the same time.
const PREPARATIONS: usize = 64;
/// The persona that comes with Clara; `{name}` is what she is called.
const PERSONA: &str = include_str!("../persona/clara.md");

/// The processor, connected.
pub struct App {
    bus: Bus,
    preparer: Arc<Preparer>,
}

impl App {
    /// Whether the configuration names models that can be asked.
    pub fn check(settings: &Settings) -> Result<(), service_kit::settings::Fault> {
        ModelConfig::from_settings(settings).map(|_| ())
    }

    /// Reads the persona and opens the model that classifies.
    pub async fn build(settings: &Settings, bus: &Bus) -> anyhow::Result<Self> {
        let config = ModelConfig::from_settings(settings).map_err(|fault| anyhow::anyhow!("{fault}"))?;
        let persona = match settings.optional("BOT_PERSONALITY_FILE") {
            Some(file) => tokio::fs::read_to_string(&file).await.with_context(|| {
                format!("read BOT_PERSONALITY_FILE={file}: name a readable text file, or leave it unset")
            })?,
            None => settings.optional("BOT_PERSONALITY").unwrap_or_else(|| PERSONA.to_owned()),
        };
        let voice = Voice {
            persona: persona.replace("{name}", &settings.text("BOT_NAME")),
            time_zone: settings.text("DEFAULT_TIMEZONE"),
            window: config.window,
            tool_tokens: usize::try_from(settings.number("CLARA_TOOL_TOKENS")).unwrap_or(usize::MAX),
            max_bytes: bus.max_payload() / 4 * 3,
        };
        let named = settings.optional("CLARA_POLICY_FILE").map(PathBuf::from);
        let is_named = named.is_some();
        let policy = rules::read(&named.unwrap_or_else(|| settings.data_dir().join("policy.toml")), is_named)?;
        let services = Services {
            bus: bus.clone(),
            files: bus.files().await?,
            patience: Duration::from_secs(settings.number("MEMORY_FETCH_TIMEOUT")),
        };
        let preparer = Preparer {
            bus: bus.clone(),
            recollection: Arc::new(services.clone()),
            catalogue: Arc::new(services.clone()),
            files: Arc::new(services),
            tiers: TierChoice::new(&config, Budgets::open(settings, bus, PATIENCE).await?)?,
            policy,
            voice,
            counts: Counts::default(),
            history_messages: u32::try_from(settings.number("CLARA_HISTORY_MESSAGES")).unwrap_or(u32::MAX),
        };
        Ok(Self { bus: bus.clone(), preparer: Arc::new(preparer) })
    }

    /// The part that runs until the process stops.
    pub fn service(self) -> anyhow::Result<Service> {
        let Self { bus, preparer } = self;
        let part = Part::new("processor/preparer", move |stop| {
            let (bus, preparer) = (bus.clone(), Arc::clone(&preparer));
            async move { Ok(bus.consume(Consumer::Processor, PREPARATIONS, preparer, stop).await?) }
        });
        Ok(Service { name: "processor", parts: vec![part] })
    }
}
