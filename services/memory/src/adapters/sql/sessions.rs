//! Sessions of a person's direct conversations, as they ask for them.

use async_trait::async_trait;
use domain::memory::HistoryMessage;
use domain::session::Session;
use store::{Row, StoreError, Value};

use super::{SqlMemory, history_message};
use crate::ports::{MemoryError, Sessions};

/// Sessions of a person (`$1`) in which something was said; `$2` is the project that
/// everybody has.
const SESSIONS: &str = "SELECT s.id, s.title, s.session_summary, s.started_at, s.last_activity_at, s.archived, \
     CASE WHEN p.name = $2 THEN '' ELSE p.name END AS project, \
     (SELECT COUNT(*) FROM messages m WHERE m.session_id = s.id) AS messages \
     FROM sessions s JOIN projects p ON p.id = s.project_id WHERE s.user_id = $1 AND s.audience = 'direct' \
     AND EXISTS (SELECT 1 FROM messages m WHERE m.session_id = s.id)";

#[async_trait]
impl Sessions for SqlMemory {
    async fn list(
        &self,
        user: &str,
        archived: bool,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Session>, MemoryError> {
        // The id breaks ties, so that none is left out or shown twice.
        let sql = format!(
            "{SESSIONS} AND s.archived = $3 AND ($4 = '' OR EXISTS (SELECT 1 FROM sessions b WHERE b.id = $4 \
             AND b.user_id = $1 AND (s.last_activity_at < b.last_activity_at \
             OR (s.last_activity_at = b.last_activity_at AND s.id < b.id)))) \
             ORDER BY s.last_activity_at DESC, s.id DESC LIMIT $5"
        );
        let values: [Value; 5] = [
            user.into(),
            self.project.as_str().into(),
            i64::from(archived).into(),
            before.unwrap_or_default().into(),
            i64::from(limit).into(),
        ];
        let rows = self.database.fetch(&sql, &values).await?;
        Ok(rows.iter().map(session).collect::<Result<_, _>>()?)
    }

    async fn find(&self, user: &str, id: &str) -> Result<Option<Session>, MemoryError> {
        let sql = format!("{SESSIONS} AND s.id = $3");
        let rows = self.database.fetch(&sql, &[user.into(), self.project.as_str().into(), id.into()]).await?;
        Ok(rows.first().map(session).transpose()?)
    }

    async fn messages(&self, user: &str, id: &str, skip: u32, limit: u32) -> Result<Vec<HistoryMessage>, MemoryError> {
        let sql = "SELECT m.role, m.name, m.content, m.created_at, m.attachments FROM messages m \
                   JOIN sessions s ON s.id = m.session_id WHERE s.id = $2 AND s.user_id = $1 AND s.audience = 'direct' \
                   ORDER BY m.position DESC LIMIT $3 OFFSET $4";
        let values: [Value; 4] = [user.into(), id.into(), i64::from(limit).into(), i64::from(skip).into()];
        let rows = self.database.fetch(sql, &values).await?;
        let mut messages = rows.iter().map(history_message).collect::<Result<Vec<_>, _>>()?;
        messages.reverse();
        Ok(messages)
    }

    async fn rename(&self, user: &str, id: &str, title: &str) -> Result<(), MemoryError> {
        let sql = "UPDATE sessions SET title = $3 WHERE id = $2 AND user_id = $1 AND audience = 'direct'";
        self.database.execute(sql, &[user.into(), id.into(), title.into()]).await?;
        Ok(())
    }

    async fn archive(&self, user: &str, id: &str, is_archived: bool) -> Result<(), MemoryError> {
        let sql = "UPDATE sessions SET archived = $3 WHERE id = $2 AND user_id = $1 AND audience = 'direct'";
        self.database.execute(sql, &[user.into(), id.into(), i64::from(is_archived).into()]).await?;
        Ok(())
    }
}

fn session(row: &Row) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.text("id")?,
        title: row.optional_text("title")?.unwrap_or_default(),
        summary: row.optional_text("session_summary")?.unwrap_or_default(),
        project: row.text("project")?,
        started_at_ms: row.integer("started_at")?,
        last_activity_at_ms: row.integer("last_activity_at")?,
        messages: u64::try_from(row.integer("messages")?).unwrap_or(0),
        is_archived: row.integer("archived")? != 0,
    })
}
