//! Building and running the adapter.

use std::sync::Arc;

use bus::{Bus, Consumer, Endpoints};
use domain::quota::Quota;
use service_kit::run::Service;
use service_kit::settings::Settings;
use service_kit::supervision::Part;

use crate::actors::deliverer::Deliverer;
use crate::actors::listener::Listener;
use crate::quotas::Quotas;

/// Replies that are delivered at the same time.
const DELIVERIES: usize = 64;

/// The adapter, connected.
pub struct App {
    bus: Bus,
    listener: Arc<Listener>,
    deliverer: Arc<Deliverer>,
}

impl App {
    /// Finds the records of deliveries.
    pub async fn build(settings: &Settings, bus: &Bus) -> anyhow::Result<Self> {
        let deliverer = Deliverer { bus: bus.clone(), records: bus.delivery_records().await? };
        let quota =
            |name: &str| Ok::<_, std::num::TryFromIntError>(Quota::per_minute(settings.number(name).try_into()?));
        let quotas = Quotas::new(
            quota("CLARA_QUOTA_USER_PER_MINUTE")?,
            quota("CLARA_QUOTA_CONVERSATION_PER_MINUTE")?,
            settings.list("CLARA_STOP_PHRASES"),
        );
        let listener = Listener { bus: bus.clone(), files: bus.files().await?, quotas };
        Ok(Self { bus: bus.clone(), listener: Arc::new(listener), deliverer: Arc::new(deliverer) })
    }

    /// The parts that run until the process stops.
    pub fn service(self) -> anyhow::Result<Service> {
        let Self { bus, listener, deliverer } = self;
        let of_listener = bus.clone();
        Ok(Service {
            name: "adapter-cli",
            parts: vec![
                Part::new("adapter-cli/listen", move |stop| {
                    let (bus, listener) = (of_listener.clone(), Arc::clone(&listener));
                    async move { Ok(bus.answer("cli-say", Endpoints::CliSay, listener, stop).await?) }
                }),
                Part::new("adapter-cli/deliver", move |stop| {
                    let (bus, deliverer) = (bus.clone(), Arc::clone(&deliverer));
                    async move { Ok(bus.consume(Consumer::AdapterCli, DELIVERIES, deliverer, stop).await?) }
                }),
            ],
        })
    }
}
