//! Work that nobody waits for: done step by step, and begun when something was stored.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use service_kit::supervision::Part;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Rings for everybody who works in the background. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Bell(watch::Sender<()>);

impl Default for Bell {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.0.send_replace(());
    }
}

/// What is done in the background.
#[async_trait]
pub(crate) trait Work: Send + Sync + 'static {
    /// Begins anew, at a start and at every restart.
    async fn begin(&self) -> Result<(), String> {
        Ok(())
    }

    /// Does what is to be done next; whether there was anything. Stopping breaks it
    /// off at any place.
    async fn step(&self) -> Result<bool, String>;
}

/// The part that works: at once again while there is more to do, else when the bell
/// rings, or after `pause`, since another replica's bell is not heard here; and after
/// `pause` when a step failed.
pub(crate) fn part(name: &'static str, bell: &Bell, pause: Duration, work: Arc<dyn Work>) -> Part {
    let bell = bell.clone();
    Part::new(name, move |stop: CancellationToken| {
        let (work, bell) = (Arc::clone(&work), bell.clone());
        async move {
            // What rings during a step is heard after it.
            let mut heard = bell.0.subscribe();
            work.begin().await.map_err(|why| anyhow::anyhow!(why))?;
            while let Some(done) = stop.run_until_cancelled(work.step()).await {
                match done {
                    Ok(true) => {}
                    Ok(false) => {
                        stop.run_until_cancelled(tokio::time::timeout(pause, heard.changed())).await;
                    }
                    Err(why) => {
                        warn!(name, why, "failed to work in the background; trying again");
                        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                    }
                }
            }
            Ok(())
        }
    })
}
