//! What model calls cost, shared by all replicas: KV bucket `CLARA_SPENDING`, by
//! compare-and-set.

use std::time::Duration;

use async_nats::jetstream::kv;
use domain::ids::ConversationId;
use domain::spending::Account;
use proto::Wire;

use bytes::Bytes;
use tokio::time::Instant;

use crate::conversations::missing;
use crate::publish::PATIENCE;
use crate::{Bus, BusError};

/// How often a write is tried that another one comes before.
const TRIES: usize = 50;
/// The pause after the bus could not be asked.
const PAUSE: Duration = Duration::from_millis(500);

/// The accounts of all days that are kept.
#[derive(Clone)]
pub struct Spending(kv::Store);

#[derive(Debug, thiserror::Error)]
#[error("the spending bucket cannot be used: {0}")]
pub struct SpendingError(String);

/// Whose account, on which day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountKey(String);

impl AccountKey {
    /// `person`: the id of a principal's user, who is one wherever they speak. `day`: as
    /// `2026-11-26`. A platform's id never enters a key.
    pub fn of_person(person: &str, day: &str) -> Self {
        let hash = blake3::hash(person.as_bytes()).to_hex();
        Self(format!("user.{}.{day}", &hash[..32]))
    }

    pub fn of_channel(conversation: &ConversationId, day: &str) -> Self {
        Self(format!("channel.{conversation}.{day}"))
    }
}

impl Bus {
    pub async fn spending(&self) -> Result<Spending, BusError> {
        let store = self.context.get_key_value("CLARA_SPENDING").await;
        store.map(Spending).map_err(|err| missing("CLARA_SPENDING", err))
    }
}

impl Spending {
    /// Changes an account, and gives what `change` gives; it may be called again, when
    /// somebody else has written meanwhile. `None` leaves it as it is.
    pub async fn change<T>(
        &self,
        key: &AccountKey,
        change: impl Fn(&mut Account) -> Option<T>,
    ) -> Result<Option<T>, SpendingError> {
        let failed = |err: &dyn std::fmt::Display| SpendingError(err.to_string());
        let deadline = Instant::now() + PATIENCE;
        let (mut tries, mut tried) = (0, None);
        while tries < TRIES {
            let entry = match self.0.entry(key.0.as_str()).await {
                Ok(entry) => entry,
                // The bus may be choosing a leader.
                Err(_) if Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(err) => return Err(failed(&err)),
            };
            tries += 1;
            // The answer to the last write was lost; what it wrote stands there.
            if let (Some((written, given)), Some(entry)) = (tried.take(), &entry)
                && entry.value == written
            {
                return Ok(Some(given));
            }
            let (mut account, revision) = match entry {
                Some(entry) if entry.operation == kv::Operation::Put => {
                    (Account::from_wire(&entry.value).map_err(|err| failed(&err))?, entry.revision)
                }
                Some(entry) => (Account::default(), entry.revision),
                None => (Account::default(), 0),
            };
            let Some(given) = change(&mut account) else { return Ok(None) };
            let written: Bytes = account.to_wire().into();
            match self.0.update(key.0.as_str(), written.clone(), revision).await {
                Ok(_) => return Ok(Some(given)),
                Err(err) if err.kind() == kv::UpdateErrorKind::WrongLastRevision => {}
                Err(_) if Instant::now() < deadline => {
                    tried = Some((written, given));
                    tokio::time::sleep(PAUSE).await;
                }
                Err(err) => return Err(failed(&err)),
            }
        }
        Err(failed(&"too many write to one account at once"))
    }
}
