//! Being told to stop: SIGTERM or Ctrl-C drains, a second one exits at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::task::{self, TaskKind};

/// Exit status after a second signal: 128 + SIGTERM.
const FORCED: i32 = 143;

/// A token that is cancelled by the first SIGTERM or SIGINT.
pub fn shutdown() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    task::spawn(TaskKind::Serve, "signals", async move {
        for count in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if count > 0 {
                warn!("second signal: exiting at once");
                std::process::exit(FORCED);
            }
            info!("stopping: finishing what is in work");
            told.cancel();
        }
    });
    Ok(stop)
}
