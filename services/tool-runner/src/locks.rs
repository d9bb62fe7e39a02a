//! One at a time for each of something, in this process.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Held by whoever is the one.
pub(crate) type One = Arc<tokio::sync::Mutex<()>>;

pub(crate) struct Locks<K>(Mutex<HashMap<K, One>>);

impl<K> Default for Locks<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> Locks<K> {
    pub(crate) fn of(&self, key: &K) -> One {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody holds or waits for are of no use.
        known.retain(|_, one| Arc::strong_count(one) > 1);
        Arc::clone(known.entry(key.clone()).or_default())
    }
}
