//! Processes in the background of the sandbox, on SQLite and PostgreSQL: any replica can look
//! at them and have them stopped, the one that runs them says how they are.

use async_trait::async_trait;
use store::{Database, Row, StoreError};

use crate::ports::{Background, Backgrounds, Begun, DatabaseError};

/// How long those that have ended are kept.
const KEPT_MS: i64 = 14 * 24 * 60 * 60 * 1000;
const COLUMNS: &str = "name, begun_by, command, started_at, seen_at, ended, output";

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
        user: &str,
        new: &Background,
        most: usize,
        lost_before_ms: i64,
    ) -> Result<Begun, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        transaction.lock(&format!("sandbox_processes/{user}")).await?;
        let sql = format!("SELECT {COLUMNS} FROM sandbox_processes WHERE user_id = $1");
        let rows = transaction.fetch(&sql, &[user.into()]).await?;
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
        let sql = "DELETE FROM sandbox_processes WHERE (user_id = $1 AND name = $2) OR seen_at < $3";
        let old = new.started_at_ms.saturating_sub(KEPT_MS);
        transaction.execute(sql, &[user.into(), new.name.as_str().into(), old.into()]).await?;
        let sql = "INSERT INTO sandbox_processes (user_id, name, begun_by, command, started_at, seen_at, ended, \
                   output, stop_wanted) VALUES ($1, $2, $3, $4, $5, $5, '', '', 0)";
        let values = [
            user.into(),
            new.name.as_str().into(),
            new.begun_by.as_str().into(),
            stored(&new.command),
            new.started_at_ms.into(),
        ];
        transaction.execute(sql, &values).await?;
        transaction.commit().await?;
        Ok(Begun::New)
    }

    async fn beat(&self, user: &str, of: &Background) -> Result<bool, DatabaseError> {
        self.note(user, of).await?;
        let sql = "SELECT stop_wanted FROM sandbox_processes WHERE user_id = $1 AND name = $2 AND begun_by = $3";
        let values = [user.into(), of.name.as_str().into(), of.begun_by.as_str().into()];
        let rows = self.database.fetch(sql, &values).await?;
        // One that nobody can look at any more has no reason to run.
        Ok(rows.first().map_or(Ok(1), |row| row.integer("stop_wanted"))? != 0)
    }

    async fn end(&self, user: &str, of: &Background) -> Result<(), DatabaseError> {
        self.note(user, of).await
    }

    async fn want_stop(&self, user: &str, name: &str) -> Result<bool, DatabaseError> {
        let sql = "UPDATE sandbox_processes SET stop_wanted = 1 WHERE user_id = $1 AND name = $2 AND ended = ''";
        Ok(self.database.execute(sql, &[user.into(), name.into()]).await? > 0)
    }

    async fn of(&self, user: &str, limit: u32) -> Result<Vec<Background>, DatabaseError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM sandbox_processes WHERE user_id = $1 ORDER BY started_at DESC, name LIMIT $2"
        );
        let rows = self.database.fetch(&sql, &[user.into(), i64::from(limit).into()]).await?;
        Ok(rows.iter().map(background).collect::<Result<_, _>>()?)
    }
}

impl SqlBackgrounds {
    async fn note(&self, user: &str, of: &Background) -> Result<(), DatabaseError> {
        let sql = "UPDATE sandbox_processes SET seen_at = $4, ended = $5, output = $6 \
                   WHERE user_id = $1 AND name = $2 AND begun_by = $3";
        let values = [
            user.into(),
            of.name.as_str().into(),
            of.begun_by.as_str().into(),
            of.seen_at_ms.into(),
            of.ended.as_str().into(),
            stored(&of.output),
        ];
        self.database.execute(sql, &values).await?;
        Ok(())
    }
}

/// Text as PostgreSQL stores it, which knows no NUL.
fn stored(text: &str) -> store::Value {
    text.replace('\0', "").into()
}

fn background(row: &Row) -> Result<Background, StoreError> {
    Ok(Background {
        name: row.text("name")?,
        begun_by: row.text("begun_by")?,
        command: row.text("command")?,
        started_at_ms: row.integer("started_at")?,
        seen_at_ms: row.integer("seen_at")?,
        ended: row.text("ended")?,
        output: row.text("output")?,
    })
}
