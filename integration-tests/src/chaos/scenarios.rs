//! What is done to her, and in which order.

mod duplicates; // The same again, in another order, or unreadable.
mod faults; // A vendor that fails, streams that are full.
mod floods; // Ten thousand at once, replicas that come and go.
mod kills; // Kills, freezes, restarts, cuts.

use std::time::Duration;

use futures::StreamExt;
use futures::future::LocalBoxFuture;
use testkit::sandbox::{Plan, Sandbox};

use super::report::Row;
use super::stage::{Stage, TALK};

/// Scenarios that run at the same time, unless somebody says otherwise.
pub const JOBS: usize = 3;

/// How much time a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// A few minutes: every kind of fault once.
    Short,
    /// As the failure matrix says.
    Long,
}

impl Length {
    /// How long something stays broken: longer than every lease of the bus.
    fn outage(self) -> Duration {
        match self {
            Length::Short => Duration::from_secs(35),
            Length::Long => Duration::from_secs(60),
        }
    }
}

/// One thing that is done, and counted.
pub struct Scenario {
    pub name: &'static str,
    /// Whether the short run has it too.
    pub in_short: bool,
    /// Whether it needs the whole machine: then nothing else runs beside it.
    pub is_heavy: bool,
    pub run: fn(&'static str, Length, u64) -> LocalBoxFuture<'static, Row>,
}

/// Boxes the future of a scenario.
macro_rules! scenario {
    ($name:literal, $short:expr, $run:expr) => {
        Scenario {
            name: $name,
            in_short: $short,
            is_heavy: false,
            run: |name, length, seed| Box::pin($run(name, length, seed)),
        }
    };
}

pub fn all() -> Vec<Scenario> {
    vec![
        scenario!("undisturbed", true, undisturbed),
        scenario!("kill at each point, 1 replica", true, |name, length, seed| kills::at_each_point(
            name, length, seed, 1
        )),
        scenario!("kill at each point, 2 replicas", true, |name, length, seed| kills::at_each_point(
            name, length, seed, 2
        )),
        scenario!("orchestrator frozen", true, |name, length, seed| kills::frozen(name, length, seed, "orchestrator")),
        scenario!("router frozen", false, |name, length, seed| kills::frozen(name, length, seed, "router")),
        scenario!("every service restarted", true, kills::restarted),
        scenario!("nats-server killed twice", true, kills::bus_killed),
        scenario!("orchestrator cut off", true, |name, length, seed| kills::cut_off(
            name,
            length,
            seed,
            "orchestrator"
        )),
        scenario!("router cut off", false, |name, length, seed| kills::cut_off(name, length, seed, "router")),
        scenario!("tool-runner cut off", false, |name, length, seed| kills::cut_off(name, length, seed, "tool-runner")),
        scenario!("adapter cut off", false, |name, length, seed| kills::cut_off(name, length, seed, "adapter-cli")),
        scenario!("streams full", true, faults::streams_full),
        scenario!("faults of the model", true, faults::of_the_model),
        scenario!("the same message again", true, duplicates::same_again),
        scenario!("out of order, and poison", true, duplicates::out_of_order_and_poison),
        scenario!("work items twice", true, duplicates::everything_twice),
        Scenario { is_heavy: true, ..scenario!("a flood in one conversation", false, floods::one_conversation) },
        Scenario { is_heavy: true, ..scenario!("1, 4, then 2 routers and orchestrators", false, floods::scaled) },
    ]
}

/// Runs scenarios, some at the same time because most of them wait, and reports
/// each in its turn.
pub async fn run(chosen: Vec<Scenario>, length: Length, seed: u64, jobs: usize, mut report: impl FnMut(Row)) {
    let (heavy, light): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|scenario| scenario.is_heavy);
    for (scenarios, jobs) in [(light, jobs), (heavy, 1)] {
        let running = scenarios.into_iter().map(|scenario| (scenario.run)(scenario.name, length, seed));
        let mut rows = futures::stream::iter(running).buffered(jobs);
        while let Some(row) = rows.next().await {
            report(row);
        }
    }
}

/// The settings of every scenario: a vendor that is waited for a few seconds.
fn plan() -> Plan {
    Sandbox::plan().set("CLARA_MODEL_TIMEOUT_SECONDS", 5).set("CLARA_MODEL_RETRIES", 4)
}

/// What a run without any fault costs.
async fn undisturbed(name: &'static str, _: Length, seed: u64) -> Row {
    let stage = Stage::start(plan(), seed).await;
    let load = stage.load(0..12, TALK);
    tokio::time::sleep(Duration::from_secs(5)).await;
    stage.settle(name, Some(load)).await
}
