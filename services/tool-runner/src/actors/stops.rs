//! Stops of turns: what runs for one of them ends at once.
//!
//! The journal holds the stop, and nobody starts a call of a stopped turn; this is the word
//! to those that run. One that is missed costs time: the call ends by its own limit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bus::{Bus, TurnSignal};
use domain::ids::TurnId;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Stops that may wait for a call to hear them.
const WAITING: usize = 1024;

/// Stops that are remembered, at most.
const KNOWN: usize = 1024;

/// Where stops are told. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Stops {
    told: broadcast::Sender<TurnId>,
    known: Arc<Mutex<VecDeque<TurnId>>>,
}

impl Default for Stops {
    fn default() -> Self {
        Self { told: broadcast::Sender::new(WAITING), known: Arc::default() }
    }
}

impl Stops {
    /// Waits until a turn is stopped; heard from the moment at which this is called.
    pub(crate) fn of(&self, turn: TurnId) -> impl Future<Output = ()> + use<> {
        let mut heard = self.told.subscribe();
        async move {
            loop {
                match heard.recv().await {
                    Ok(stopped) if stopped == turn => return,
                    // Some were missed: the call goes on, as it would without a word.
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        }
    }

    /// Whether a turn was stopped a while ago: what ends without that, ends for another reason.
    pub(crate) fn has_stopped(&self, turn: TurnId) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&turn)
    }

    fn tell(&self, turn: TurnId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == KNOWN {
            known.pop_front();
        }
        known.push_back(turn);
        drop(known);
        // Nothing may run here.
        let _ = self.told.send(turn);
    }

    /// Hears stops until it is told to end.
    pub(crate) async fn hear(&self, bus: &Bus, stop: CancellationToken) -> anyhow::Result<()> {
        let mut signals = bus.watch_turns().await?;
        while let Some(Some(signal)) = stop.run_until_cancelled(signals.next()).await {
            if let TurnSignal::Stopped(turn) = signal {
                self.tell(turn);
            }
        }
        Ok(())
    }
}
