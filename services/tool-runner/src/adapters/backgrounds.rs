//! Processes in the background of the sandbox, on SQLite and PostgreSQL: any replica can look
//! at them and have them stopped, the one that runs them says how they are.

use async_trait::async_trait;
use store::{Database, Row, StoreError};

use crate::ports::{Background, Backgrounds, Begun, DatabaseError, LOST};

/// Those that have ended are kept so long, and so many of one owner.
const KEPT_MS: i64 = 14 * 24 * 60 * 60 * 1000;
const KEPT: i64 = 20;
const COLUMNS: &str = "begun_by, name, command, started_at, seen_at, ended";

pub(crate) struct SqlBackgrounds {
    database: Database,
}

impl SqlBackgrounds {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Backgrounds for SqlBackgrounds {
    async fn begin(
        &self,
        owner: &str,
        new: &Background,
        most: usize,
        lost_before_ms: i64,
    ) -> Result<Begun, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        transaction.lock(&format!("sandbox_processes/{owner}")).await?;
        let sql = format!("SELECT {COLUMNS} FROM sandbox_processes WHERE owner = $1");
        let rows = transaction.fetch(&sql, &[owner.into()]).await?;
        let known = rows.iter().map(background).collect::<Result<Vec<_>, _>>()?;
        if let Some(before) = known.iter().find(|known| known.begun_by == new.begun_by) {
            return Ok(Begun::Before(before.clone()));
        }
        let runs = |known: &&Background| known.ended.is_empty() && known.seen_at_ms >= lost_before_ms;
        if known.iter().filter(runs).any(|known| known.name == new.name) {
            return Ok(Begun::Taken);
        }
        if known.iter().filter(runs).count() >= most {
            return Ok(Begun::TooMany);
        }
        let sql = "UPDATE sandbox_processes SET ended = $3 WHERE owner = $1 AND ended = '' AND seen_at < $2";
        transaction.execute(sql, &[owner.into(), lost_before_ms.into(), LOST.into()]).await?;
        let sql = "DELETE FROM sandbox_processes WHERE seen_at < $2 OR (owner = $1 AND ended <> '' AND begun_by NOT IN \
                   (SELECT begun_by FROM sandbox_processes WHERE owner = $1 ORDER BY started_at DESC LIMIT $3))";
        let old = new.started_at_ms.saturating_sub(KEPT_MS);
        transaction.execute(sql, &[owner.into(), old.into(), KEPT.into()]).await?;
        let sql = "INSERT INTO sandbox_processes (owner, begun_by, name, command, started_at, seen_at, ended, output, \
                   stop_wanted) VALUES ($1, $2, $3, $4, $5, $5, '', '', 0)";
        let values = [
            owner.into(),
            new.begun_by.as_str().into(),
            new.name.as_str().into(),
            stored(&new.command),
            new.started_at_ms.into(),
        ];
        transaction.execute(sql, &values).await?;
        transaction.commit().await?;
        Ok(Begun::New)
    }

    async fn note(&self, owner: &str, of: &Background, output: Option<&str>) -> Result<bool, DatabaseError> {
        let key = [owner.into(), of.begun_by.as_str().into()];
        let state = [of.seen_at_ms.into(), of.ended.as_str().into()];
        let values: Vec<store::Value> = key.iter().cloned().chain(state).chain(output.map(stored)).collect();
        let printed = if output.is_some() { ", output = $5" } else { "" };
        // One that was given up meanwhile, since nobody heard of it, does not come back.
        let sql = format!(
            "UPDATE sandbox_processes SET seen_at = $3, ended = $4{printed} \
             WHERE owner = $1 AND begun_by = $2 AND ended = ''"
        );
        if self.database.execute(&sql, &values).await? == 0 {
            return Ok(true);
        }
        let sql = "SELECT stop_wanted FROM sandbox_processes WHERE owner = $1 AND begun_by = $2";
        let rows = self.database.fetch(sql, &key).await?;
        // One that nobody can look at any more has no reason to run.
        Ok(rows.first().map_or(Ok(1), |row| row.integer("stop_wanted"))? != 0)
    }

    async fn want_stop(&self, owner: &str, name: &str) -> Result<bool, DatabaseError> {
        let sql = "UPDATE sandbox_processes SET stop_wanted = 1 WHERE owner = $1 AND name = $2 AND ended = ''";
        Ok(self.database.execute(sql, &[owner.into(), name.into()]).await? > 0)
    }

    async fn of(&self, owner: &str, limit: u32) -> Result<Vec<Background>, DatabaseError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM sandbox_processes WHERE owner = $1 \
             ORDER BY CASE WHEN ended = '' THEN 0 ELSE 1 END, started_at DESC, name LIMIT $2"
        );
        let rows = self.database.fetch(&sql, &[owner.into(), i64::from(limit).into()]).await?;
        Ok(rows.iter().map(background).collect::<Result<_, _>>()?)
    }

    async fn find(&self, owner: &str, name: &str) -> Result<Option<(Background, String)>, DatabaseError> {
        let sql = format!(
            "SELECT {COLUMNS}, output FROM sandbox_processes WHERE owner = $1 AND name = $2 \
             ORDER BY started_at DESC LIMIT 1"
        );
        let rows = self.database.fetch(&sql, &[owner.into(), name.into()]).await?;
        Ok(rows.first().map(|row| Ok::<_, StoreError>((background(row)?, row.text("output")?))).transpose()?)
    }
}

/// Text as PostgreSQL stores it, which knows no NUL.
fn stored(text: &str) -> store::Value {
    text.replace('\0', "").into()
}

fn background(row: &Row) -> Result<Background, StoreError> {
    Ok(Background {
        begun_by: row.text("begun_by")?,
        name: row.text("name")?,
        command: row.text("command")?,
        started_at_ms: row.integer("started_at")?,
        seen_at_ms: row.integer("seen_at")?,
        ended: row.text("ended")?,
    })
}
