//! What sandboxes by containers have in common: how a run becomes the program of a container,
//! what a trial must find to be true, and when is looked for what was left.
//!
//! What makes, starts and removes a container is its daemon's own ([`docker`](super::docker),
//! [`incus`](super::incus)).

mod keeper; // The program that runs another one in a container.
mod trial; // Whether it holds here.

use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use service_kit::clock::now_ms;
use service_kit::task::{self, TaskKind};
use tokio::time::error::Elapsed;
use tracing::warn;

use self::keeper::KEEPER;
pub(super) use self::trial::Trial;
use super::egress::{self, Egress};
use crate::sandbox::{End, Run, VARIABLES};

/// How long a daemon may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How much later a container ends by itself than the runner would end it.
pub(super) const LATER: Duration = Duration::from_secs(10);
/// How old a container is that has not begun, or has ended, and that nobody will remove, in seconds.
pub(super) const LEFT_SECONDS: i64 = 60;
/// How old a way out is that nobody uses any more: no run takes as long.
const WAY_OUT: Duration = Duration::from_secs(8 * 24 * 3600);
/// How often is looked for what was left, in milliseconds.
const SWEEP_MS: i64 = 600_000;
/// How often a removal is tried, and the pause after the first time, which doubles.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(100);

/// The program of a container, which runs what was asked for.
pub(super) fn command(run: &Run, egress: Option<&Egress>) -> Vec<String> {
    let mut command: Vec<String> = KEEPER.iter().map(|part| (*part).to_owned()).collect();
    command.push((run.time + LATER).as_secs().to_string());
    if egress.is_some() {
        command.extend(egress::BRIDGE.map(str::to_owned));
    }
    command.extend(run.command.iter().cloned());
    command
}

/// What it has in its environment.
pub(super) fn environment(egress: Option<&Egress>) -> impl Iterator<Item = (&'static str, &'static str)> {
    let leads_out = egress.map(|_| egress::VARIABLES.map(|name| (name, egress::PROXY)));
    VARIABLES.iter().copied().chain(leads_out.into_iter().flatten())
}

/// What it is given to read: how much there is, and the input of the program that it runs. What
/// comes after that keeps it alive as long as nobody closes it.
pub(super) fn input(run: &Run) -> Vec<u8> {
    [format!("{}\n", run.input.len()).as_bytes(), run.input.as_bytes()].concat()
}

/// How it ended, as its status tells, if that was heard in time; what a shell makes of a signal is
/// that signal.
pub(super) fn end<Error: Display>(heard: Result<Result<i64, Error>, Elapsed>) -> End {
    match heard {
        Ok(Ok(status @ 129..=192)) => End::Killed(i32::try_from(status - 128).unwrap_or(0)),
        Ok(Ok(status)) => End::Exited(i32::try_from(status).unwrap_or(-1)),
        Ok(Err(err)) => {
            // It may have begun, and may even have ended well.
            warn!(error = %err, "failed to hear how a run in a container ended");
            End::Lost
        }
        Err(_) => End::TimedOut,
    }
}

/// Until when a container that begins now may be there, in seconds since 1970.
pub(super) fn until(run: &Run) -> i64 {
    now_ms() / 1000 + i64::try_from((run.time + LATER * 2).as_secs()).unwrap_or(i64::MAX / 2)
}

/// When was looked for what runners left that died.
#[derive(Default)]
pub(super) struct Sweeps(AtomicI64);

impl Sweeps {
    /// When it is time, removes what was left, in the background: the ways out in a folder, and
    /// what `remove` removes, which is given the time in seconds since 1970.
    pub(super) fn sweep<Removes>(&self, folder: &Path, remove: impl FnOnce(i64) -> Removes)
    where
        Removes: Future<Output = ()> + Send + 'static,
    {
        let (now, last) = (now_ms(), self.0.load(Ordering::Relaxed));
        let is_time = now - last >= SWEEP_MS;
        if !is_time || self.0.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let (folder, removes) = (folder.to_owned(), remove(now / 1000));
        task::spawn(TaskKind::Work, "remove-left-containers", async move {
            egress::remove_older_than(&folder, WAY_OUT);
            removes.await;
        });
    }
}

/// Removes a container by trying to: `Ok(false)` says that the daemon does not know it. It may be
/// on its way there, so it is tried more than once.
pub(super) async fn remove<Tries, Error>(mut tries: impl FnMut() -> Tries)
where
    Tries: Future<Output = Result<bool, Error>>,
    Error: Display,
{
    let mut failed = None;
    for attempt in 0..TRIES {
        match tries().await {
            Ok(true) => return,
            Ok(false) => failed = None,
            Err(err) => failed = Some(err),
        }
        tokio::time::sleep(PAUSE * 2u32.pow(attempt)).await;
    }
    if let Some(err) = failed {
        warn!(error = %err, "failed to remove a container; what ran in it has ended, and it is removed later");
    }
}
