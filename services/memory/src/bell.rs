//! Tells those who work in the background that something was stored.

use std::time::Duration;

use tokio::sync::watch;

/// Rings for everybody who listens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Bell(watch::Sender<()>);

/// Somebody who listens: what rang while they were at work is heard afterwards.
pub(crate) struct Listener(watch::Receiver<()>);

impl Default for Bell {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.0.send_replace(());
    }

    pub(crate) fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

impl Listener {
    /// Waits until it rings, or for so long: another replica's bell is not heard here.
    pub(crate) async fn next(&mut self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.0.changed()).await;
    }
}
