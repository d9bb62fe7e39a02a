//! All services in one process.

use anyhow::Context;
use bus::Bus;
use service_kit::run::Service;
use service_kit::settings::Settings;

/// Every service, connected.
pub struct App {
    services: Vec<Service>,
}

impl App {
    /// Builds every service on one connection. Nothing runs yet.
    pub async fn build(settings: &Settings, bus: &Bus) -> anyhow::Result<Self> {
        let services = vec![
            memory::App::build(settings, bus).await.context("start memory")?.service()?,
            tool_runner::App::build(settings, bus).await.context("start tool-runner")?.service()?,
            orchestrator::App::build(settings, bus).await.context("start orchestrator")?.service()?,
            processor::App::build(settings, bus).await.context("start processor")?.service()?,
            router::App::build(settings, bus).await.context("start router")?.service()?,
            adapter_cli::App::build(settings, bus).await.context("start adapter-cli")?.service()?,
        ];
        Ok(Self { services })
    }

    /// The services, for `service_kit::run::serve`.
    pub fn services(self) -> Vec<Service> {
        self.services
    }
}
