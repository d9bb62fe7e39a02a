//! Which sub-agents a conversation has begun, on SQLite and PostgreSQL: their ids alone; what
//! they were asked and what they found stands in their journals.

use async_trait::async_trait;
use domain::ids::{ConversationId, MessageId};
use store::{Database, Row, StoreError};

use crate::ports::{Child, Children, DatabaseError};

/// How long they are kept: as long as journals are.
const KEPT_MS: i64 = 14 * 24 * 60 * 60 * 1000;

pub(crate) struct SqlChildren {
    database: Database,
}

impl SqlChildren {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Children for SqlChildren {
    async fn add(&self, parent: &ConversationId, child: &Child) -> Result<(), DatabaseError> {
        let sql = "INSERT INTO subagents (parent, id, conversation, message, tools, started_at) \
                   SELECT $1, $2, $3, $4, $6, CASE WHEN newest < $5 THEN $5 ELSE newest + 1 END FROM \
                   (SELECT COALESCE(MAX(started_at), 0) AS newest FROM subagents WHERE parent = $1) AS known \
                   WHERE true ON CONFLICT (parent, id) DO NOTHING";
        let values = [
            parent.as_str().into(),
            child.id.as_str().into(),
            child.conversation.as_str().into(),
            child.message.as_str().into(),
            child.started_at_ms.into(),
            serde_json::to_string(&child.tools).unwrap_or_default().into(),
        ];
        let mut transaction = self.database.begin().await?;
        // Who comes later sees who came before.
        transaction.lock(&format!("subagents/{parent}")).await?;
        transaction.execute(sql, &values).await?;
        let sql = "DELETE FROM subagents WHERE started_at < $1";
        transaction.execute(sql, &[child.started_at_ms.saturating_sub(KEPT_MS).into()]).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn remove(&self, parent: &ConversationId, id: &str) -> Result<(), DatabaseError> {
        let sql = "DELETE FROM subagents WHERE parent = $1 AND id = $2";
        self.database.execute(sql, &[parent.as_str().into(), id.into()]).await?;
        Ok(())
    }

    async fn of(&self, parent: &ConversationId, limit: u32) -> Result<Vec<Child>, DatabaseError> {
        let sql = "SELECT id, conversation, message, tools, started_at FROM subagents WHERE parent = $1 \
                   ORDER BY started_at DESC, id LIMIT $2";
        let rows = self.database.fetch(sql, &[parent.as_str().into(), i64::from(limit).into()]).await?;
        let known = rows.iter().map(child).collect::<Result<Vec<_>, _>>()?;
        Ok(known.into_iter().flatten().collect())
    }

    async fn tools(&self, conversation: &ConversationId) -> Result<Vec<String>, DatabaseError> {
        let sql = "SELECT tools FROM subagents WHERE conversation = $1 LIMIT 1";
        let rows = self.database.fetch(sql, &[conversation.as_str().into()]).await?;
        Ok(rows.first().map(tools).transpose()?.unwrap_or_default())
    }

    async fn is_child(&self, conversation: &ConversationId) -> Result<bool, DatabaseError> {
        let sql = "SELECT id FROM subagents WHERE conversation = $1 LIMIT 1";
        Ok(!self.database.fetch(sql, &[conversation.as_str().into()]).await?.is_empty())
    }
}

/// One that cannot be read is none that we have written.
fn child(row: &Row) -> Result<Option<Child>, StoreError> {
    let conversation = ConversationId::parse(&row.text("conversation")?);
    let message = MessageId::parse(&row.text("message")?);
    let (id, started_at_ms) = (row.text("id")?, row.integer("started_at")?);
    let tools = tools(row)?;
    let of = |(conversation, message)| Child { id, conversation, message, started_at_ms, tools };
    Ok(conversation.ok().zip(message.ok()).map(of))
}

/// What cannot be read is a pattern that means no tool.
fn tools(row: &Row) -> Result<Vec<String>, StoreError> {
    let text = row.text("tools")?;
    Ok(serde_json::from_str(&text).unwrap_or_else(|_| vec![text]))
}
