//! Stores beside the database: they hold copies of what it holds, to search it faster
//! than this process could, or to be looked at by others.
//!
//! The database is what is true. What changes in it is queued there, in the same
//! transaction, for every store that mirrors it; a store that was away, or lost
//! everything, is brought up to date. What a store answers is never shown without
//! the database's word for it.

use std::collections::HashSet;

use async_trait::async_trait;
use learn::relation::Relation;

use crate::ports::MemoryError;
use crate::scope::Scope;

/// Why a store beside the database did not do what it was asked. Holds no secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{store}: {why}")]
pub(crate) struct MirrorError {
    pub store: &'static str,
    pub why: String,
}

/// Something that is copied, known by its id.
pub(crate) trait Item: Send + Sync + 'static {
    fn id(&self) -> &str;
}

/// The vector of a passage, or of a fact.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    pub id: String,
    pub scope: Scope,
    /// Of length 1.
    pub vector: Vec<f32>,
}

/// What a fact says of people and things.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Related {
    /// The fact's.
    pub id: String,
    pub user: String,
    pub relations: Vec<Relation>,
}

impl Item for Point {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Item for Related {
    fn id(&self) -> &str {
        &self.id
    }
}

/// A store that holds copies.
#[async_trait]
pub(crate) trait Mirror<I: Item>: Send + Sync {
    /// What people know it by.
    fn name(&self) -> &'static str;
    /// Where it is, and what it holds there: another is filled anew. Holds no secret.
    fn target(&self) -> &str;
    /// Whether it was filled before.
    async fn exists(&self) -> Result<bool, MirrorError>;
    /// Empties it.
    async fn reset(&self) -> Result<(), MirrorError>;
    /// Puts items in the place of those with their ids.
    async fn put(&self, items: &[I]) -> Result<(), MirrorError>;
    async fn remove(&self, ids: &[String]) -> Result<(), MirrorError>;
    /// How many of these it holds.
    async fn holding(&self, ids: &[String]) -> Result<u64, MirrorError>;
}

/// A store that compares vectors.
#[async_trait]
pub(crate) trait VectorStore: Mirror<Point> {
    /// The ids of the nearest of a scope with their cosines, best first.
    async fn nearest(&self, scope: &Scope, vector: &[f32], limit: usize) -> Result<Vec<(String, f32)>, MirrorError>;
}

/// A store that walks relations.
#[async_trait]
pub(crate) trait GraphStore: Mirror<Related> {
    /// The facts of a person whose relations hold one of these terms (stems, lower case),
    /// and those that speak of whom or what they name.
    async fn around(&self, user: &str, terms: &[String], limit: usize) -> Result<Vec<String>, MirrorError>;
}

/// An item whose copy may be out of date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queued {
    pub id: String,
    /// Another when it has changed since.
    pub stamp: i64,
}

/// What of the database is to be copied to one store.
#[async_trait]
pub(crate) trait MirrorQueue: Send + Sync {
    /// The target that holds the copies so far.
    async fn target(&self) -> Result<Option<String>, MemoryError>;
    /// Lets one replica alone fill a store anew, whatever it held so far; not while another does,
    /// or copies.
    async fn claim(&self, holder: &str, now_ms: i64, until_ms: i64) -> Result<bool, MemoryError>;
    /// Queues everything for a target, with this stamp.
    async fn begin_anew(&self, target: &str, stamp: i64) -> Result<(), MemoryError>;
    /// Queues nothing any more: another store begins anew.
    async fn stop(&self) -> Result<(), MemoryError>;
    /// Lets one replica alone copy to a target for a while; not while another does, or when
    /// the copies are made for another target.
    async fn hold(&self, target: &str, holder: &str, now_ms: i64, until_ms: i64) -> Result<bool, MemoryError>;
    async fn release(&self, holder: &str) -> Result<(), MemoryError>;
    async fn queued(&self, limit: u32) -> Result<Vec<Queued>, MemoryError>;
    /// Queues these again: what was copied of them may be older than what another copied.
    async fn requeue(&self, queued: &[Queued], stamp: i64) -> Result<(), MemoryError>;
    /// Takes items from the queue that have not changed since.
    async fn settle(&self, queued: &[Queued]) -> Result<(), MemoryError>;
}

/// The database, as what is mirrored.
#[async_trait]
pub(crate) trait Mirrored<I: Item>: Send + Sync {
    fn queue(&self) -> &dyn MirrorQueue;
    /// Items as they are now; those that are gone are left out.
    async fn current(&self, queued: &[Queued]) -> Result<Vec<I>, MemoryError>;
}

/// The ids of what is queued and no item any more.
pub(crate) fn gone<I: Item>(queued: &[Queued], current: &[I]) -> Vec<String> {
    let known: HashSet<&str> = current.iter().map(Item::id).collect();
    queued.iter().map(|queued| &queued.id).filter(|id| !known.contains(id.as_str())).cloned().collect()
}
