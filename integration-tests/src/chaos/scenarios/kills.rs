//! Processes that die, freeze, restart, or lose the bus.

use std::time::Duration;

use rustix::process::Signal;
use service_kit::crash::CrashPoint as P;
use testkit::proxy::Proxy;
use testkit::sandbox::SERVICES;

use super::{Length, plan};
use crate::chaos::report::Row;
use crate::chaos::stage::{Stage, TALK};

/// The points that each service passes.
const POINTS: [(&str, &[P]); 6] = [
    ("adapter-cli", &[P::InboundStored, P::Sending, P::Shown, P::Sent, P::FinishedTold]),
    ("router", &[P::StateStored, P::Caused]),
    ("processor", &[P::TurnReceived, P::Caused]),
    (
        "orchestrator",
        &[
            P::TurnReceived,
            P::Claimed,
            P::MidStream,
            P::ModelAnswered,
            P::ToolIntended,
            P::ToolDone,
            P::ReplyReady,
            P::FinishedTold,
        ],
    ),
    ("tool-runner", &[P::ToolStarted, P::ToolRan, P::ToolDone]),
    ("memory", &[P::Caused]),
];

/// Kills each service at each crash point that it passes, all services at the
/// same time.
pub(super) async fn at_each_point(name: &'static str, _: Length, seed: u64, replicas: usize) -> Row {
    let stage = Stage::start(plan().replicas(replicas), seed).await;
    let load = stage.load(0..24, TALK);
    futures::future::join_all(POINTS.map(|(service, points)| stage.kill_at_each(service, points))).await;
    stage.heal();
    stage.settle(name, Some(load)).await
}

/// SIGSTOP, a while, SIGCONT: a replica that wakes up believes it still owns.
pub(super) async fn frozen(name: &'static str, length: Length, seed: u64, service: &str) -> Row {
    let stage = Stage::start(plan().replicas(2), seed).await;
    let load = stage.load(0..24, TALK);
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.signal(service, 0, Signal::STOP).await;
    tokio::time::sleep(length.outage()).await;
    stage.signal(service, 0, Signal::CONT).await;
    stage.heal();
    stage.settle(name, Some(load)).await
}

/// SIGTERM to every replica of every service, one after the other, under load.
pub(super) async fn restarted(name: &'static str, length: Length, seed: u64) -> Row {
    let stage = Stage::start(plan().replicas(2).set("CLARA_SHUTDOWN_GRACE_SECONDS", 6), seed).await;
    let load = stage.load(0..24, TALK);
    let replicas = if length == Length::Long { 2 } else { 1 };
    for replica in 0..replicas {
        for service in SERVICES {
            stage.restart(service, replica).await;
        }
    }
    stage.heal();
    stage.settle(name, Some(load)).await
}

/// The bus itself: killed, started again on its store, and once more.
pub(super) async fn bus_killed(name: &'static str, _: Length, seed: u64) -> Row {
    let stage = Stage::start(plan(), seed).await;
    let load = stage.load(0..24, TALK);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(1500 + stage.draw(1500) as u64)).await;
        let mut sandbox = stage.sandbox().await;
        sandbox.nats.kill();
        tokio::time::sleep(Duration::from_millis(stage.draw(3000) as u64)).await;
        sandbox.nats.restart();
    }
    stage.heal();
    stage.settle(name, Some(load)).await
}

/// One of two replicas loses the bus without being told.
pub(super) async fn cut_off(name: &'static str, length: Length, seed: u64, service: &str) -> Row {
    let stage = Stage::start(plan().replicas(2), seed).await;
    let proxy = Proxy::to(stage.url().trim_start_matches("nats://").to_owned()).await;
    {
        let mut sandbox = stage.sandbox().await;
        sandbox.kill(service, 0);
        sandbox.start_service_with(service, 0, &[("NATS_URL", format!("nats://{}", proxy.address()))]);
        sandbox.ready(2).await;
    }
    let load = stage.load(0..24, TALK);
    tokio::time::sleep(Duration::from_secs(2)).await;
    proxy.cut();
    tokio::time::sleep(length.outage()).await;
    proxy.heal();
    stage.heal();
    stage.settle(name, Some(load)).await
}
