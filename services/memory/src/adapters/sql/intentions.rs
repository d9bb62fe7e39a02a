//! What people want to be reminded of. A reminder has fired when the answer that
//! was told of it is stored, not when a prompt was built.

use async_trait::async_trait;
use domain::memory::Intention;
use store::{Row, StoreError, Transaction, Value};

use super::SqlMemory;
use super::facts::{places, with_ids};
use crate::ports::{Intentions, MemoryError};

/// Most reminders of one person that wait at the same time.
const WAITING: i64 = 200;

/// Notes that an answer was told of reminders: those that fire once fire no more.
pub(super) async fn fired(
    transaction: &mut Transaction,
    user: &str,
    at_ms: i64,
    ids: &[String],
) -> Result<(), StoreError> {
    for ids in ids.chunks(100) {
        let sql = format!(
            "UPDATE intentions SET fired = fire_once, fired_at = $2 WHERE user_id = $1 AND id IN ({})",
            places(3, ids.len())
        );
        transaction.execute(&sql, &with_ids(&[user.into(), at_ms.into()], ids)).await?;
    }
    Ok(())
}

#[async_trait]
impl Intentions for SqlMemory {
    async fn intend(&self, user: &str, intention: &Intention, at_ms: i64) -> Result<bool, MemoryError> {
        let mut transaction = self.database.begin().await?;
        let sql = "SELECT COUNT(*) AS n FROM intentions WHERE user_id = $1 AND fired = 0";
        let waiting = transaction.fetch(sql, &[user.into()]).await?.first().map_or(Ok(0), |row| row.integer("n"))?;
        if waiting >= WAITING {
            return Ok(false);
        }
        let sql = "INSERT INTO intentions (id, user_id, content, trigger_conditions, priority, fire_once, created_at, \
                   expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING";
        let values: [Value; 8] = [
            intention.id.as_str().into(),
            user.into(),
            intention.content.replace('\0', "").into(),
            intention.trigger.as_str().into(),
            i64::from(intention.priority).into(),
            i64::from(intention.fires_once).into(),
            at_ms.into(),
            intention.expires_at_ms.into(),
        ];
        transaction.execute(sql, &values).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn waiting(&self, user: &str, now_ms: i64) -> Result<Vec<Intention>, MemoryError> {
        let sql = "SELECT id, content, trigger_conditions, priority, fire_once, expires_at FROM intentions \
                   WHERE user_id = $1 AND fired = 0 AND (expires_at = 0 OR expires_at > $2) \
                   ORDER BY priority DESC, created_at, id";
        let rows = self.database.fetch(sql, &[user.into(), now_ms.into()]).await?;
        Ok(rows.iter().map(intention).collect::<Result<_, _>>()?)
    }

    async fn dismiss(&self, user: &str, id: &str) -> Result<bool, MemoryError> {
        let sql = "DELETE FROM intentions WHERE id = $1 AND user_id = $2";
        Ok(self.database.execute(sql, &[id.into(), user.into()]).await? > 0)
    }
}

fn intention(row: &Row) -> Result<Intention, StoreError> {
    Ok(Intention {
        id: row.text("id")?,
        content: row.text("content")?,
        trigger: row.text("trigger_conditions")?,
        priority: i32::try_from(row.integer("priority")?).unwrap_or(0),
        fires_once: row.integer("fire_once")? != 0,
        expires_at_ms: row.integer("expires_at")?,
    })
}
