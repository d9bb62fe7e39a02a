//! Brings a store beside the database up to date, in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::memory::Searched;
use service_kit::clock::now_ms;
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::projector::describe;
use crate::background::Work;
use crate::mirrors::{Item, Mirror, MirrorError, Mirrored, gone};

/// Items that are copied at once.
const BATCH: u32 = 100;
/// Wait after a failure, and for what another replica stored.
pub(crate) const PAUSE: Duration = Duration::from_secs(10);
/// How long one replica copies alone, in milliseconds, unless it says so again.
const LEASE_MS: i64 = 20_000;
/// The same while a store is filled anew, which may take longer than copying.
const FILLING_MS: i64 = 60_000;
/// How long an erasure waits for the copies to be erased; what is left is erased later.
const ERASING: Duration = Duration::from_secs(10);

pub(crate) struct Mirroring<I: Item> {
    source: Arc<dyn Mirrored<I>>,
    mirror: Arc<dyn Mirror<I>>,
    /// Whether the store is known to hold what it should, but for what is queued.
    has_begun: AtomicBool,
    /// Whether it was seen to hold anything: then it is empty only if it has lost it.
    was_filled: AtomicBool,
    /// One step at a time, so that what is older never comes after what is newer.
    stepping: Mutex<()>,
    /// This replica, to the others: they take turns.
    holder: String,
}

impl<I: Item> Mirroring<I> {
    pub(crate) fn new(source: Arc<dyn Mirrored<I>>, mirror: Arc<dyn Mirror<I>>, holder: String) -> Self {
        Self {
            source,
            mirror,
            has_begun: AtomicBool::new(false),
            was_filled: AtomicBool::new(false),
            stepping: Mutex::new(()),
            holder,
        }
    }

    /// Sees to it that the store is filled, or being filled: anew if it is another one, or has
    /// lost everything. `false` while another replica does that.
    async fn start(&self) -> Result<bool, String> {
        if self.is_filled().await? {
            return Ok(true);
        }
        // Stores do not survive being emptied by two at once: one replica does it.
        if !self.claim().await? {
            return Ok(false);
        }
        let filled = self.fill().await;
        self.source.queue().release(&self.holder).await.map_err(describe)?;
        filled.map(|()| true)
    }

    async fn claim(&self) -> Result<bool, String> {
        let now = now_ms();
        self.source.queue().claim(&self.holder, now, now.saturating_add(FILLING_MS)).await.map_err(describe)
    }

    async fn is_filled(&self) -> Result<bool, String> {
        let known = self.source.queue().target().await.map_err(describe)?;
        let is_filled = known.as_deref() == Some(self.mirror.target()) && self.mirror.exists().await.map_err(told)?;
        self.was_filled.store(is_filled, Ordering::Relaxed);
        Ok(is_filled)
    }

    async fn fill(&self) -> Result<(), String> {
        // Another replica may just have done it.
        if self.is_filled().await? {
            return Ok(());
        }
        info!(store = self.mirror.name(), "filling a store beside the database");
        self.mirror.reset().await.map_err(told)?;
        if !self.claim().await? {
            return Err(format!("{} took too long to be emptied, and another replica does it", self.mirror.name()));
        }
        self.source.queue().begin_anew(self.mirror.target(), now_ms()).await.map_err(describe)
    }

    /// Copies some, if no other replica does.
    async fn copy_some(&self) -> Result<bool, String> {
        if !self.hold().await? {
            return Ok(false);
        }
        let copied = self.copy_held().await;
        self.source.queue().release(&self.holder).await.map_err(describe)?;
        copied
    }

    async fn hold(&self) -> Result<bool, String> {
        let (now, target) = (now_ms(), self.mirror.target());
        self.source.queue().hold(target, &self.holder, now, now.saturating_add(LEASE_MS)).await.map_err(describe)
    }

    async fn copy_held(&self) -> Result<bool, String> {
        let queued = self.source.queue().queued(BATCH).await.map_err(describe)?;
        if queued.is_empty() {
            return Ok(false);
        }
        if self.was_filled.load(Ordering::Relaxed) && !self.mirror.exists().await.map_err(told)? {
            return Err(format!("{} has lost what it held", self.mirror.name()));
        }
        let current = self.source.current(&queued).await.map_err(describe)?;
        let gone = gone(&queued, &current);
        if !gone.is_empty() {
            self.mirror.remove(&gone).await.map_err(told)?;
        }
        if !current.is_empty() {
            self.put(&current).await?;
            self.was_filled.store(true, Ordering::Relaxed);
        }
        if self.hold().await? {
            self.source.queue().settle(&queued).await.map_err(describe)?;
        } else {
            // It took too long, and another replica may have copied what is newer.
            self.source.queue().requeue(&queued, now_ms()).await.map_err(describe)?;
        }
        Ok(true)
    }

    /// One that the store does not take must not keep the others waiting.
    async fn put(&self, items: &[I]) -> Result<(), String> {
        let Err(err) = self.mirror.put(items).await else { return Ok(()) };
        let mut refused = Vec::new();
        for item in items {
            if let Err(err) = self.mirror.put(std::slice::from_ref(item)).await {
                refused.push((item.id(), err));
            }
        }
        if refused.len() == items.len() {
            return Err(told(err));
        }
        for (id, err) in refused {
            warn!(id, error = %err, "a store does not take one of its copies; it does without");
        }
        Ok(())
    }
}

#[async_trait]
impl<I: Item> Work for Mirroring<I> {
    async fn step(&self) -> Result<bool, String> {
        let _alone = self.stepping.lock().await;
        if !self.has_begun.load(Ordering::Relaxed) {
            if !self.start().await? {
                return Ok(false);
            }
            self.has_begun.store(true, Ordering::Relaxed);
        }
        let copied = self.copy_some().await;
        if copied.is_err() {
            // It may have been another store's beginning: that is looked at again.
            self.has_begun.store(false, Ordering::Relaxed);
        }
        copied
    }
}

fn told(err: MirrorError) -> String {
    err.to_string()
}

/// A store that erases with the database, and shows that it did.
#[async_trait]
pub(crate) trait Erases: Send + Sync {
    /// Erases the copies of these, and counts what is left of them: all of them, if
    /// the store cannot be asked.
    async fn prove(&self, ids: &[String]) -> Searched;
}

#[async_trait]
impl<I: Item> Erases for Mirroring<I> {
    async fn prove(&self, ids: &[String]) -> Searched {
        let erased = async {
            // What is on its way here would come after it. What another replica has on its
            // way may; the erasure is queued, and whoever copies comes to it next.
            let _alone = self.stepping.lock().await;
            self.mirror.remove(ids).await.map_err(told)?;
            self.mirror.holding(ids).await.map_err(told)
        };
        let found = match tokio::time::timeout(ERASING, erased).await {
            Ok(Ok(found)) => found,
            Ok(Err(why)) => {
                warn!(why, "copies of what was erased will be erased later");
                ids.len() as u64
            }
            Err(_) => {
                warn!(store = self.mirror.name(), "copies of what was erased will be erased later");
                ids.len() as u64
            }
        };
        Searched { store: self.mirror.name().to_owned(), found }
    }
}
