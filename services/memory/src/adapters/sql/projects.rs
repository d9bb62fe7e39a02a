//! Projects: what a person says of some conversations that they are about, and what is
//! remembered of that.

use async_trait::async_trait;
use domain::ids::ConversationId;
use domain::memory::Count;
use store::{StoreError, Transaction, Value};
use uuid::Uuid;

use super::{SqlMemory, people};
use crate::ports::{MemoryError, Projects};

/// Most projects that are listed.
const LISTED: i64 = 200;

/// What a person chose for a conversation (`$1`, `$2`), the newest choice up to a time
/// first: what was said before a choice belongs where it was said.
pub(super) const CHOSEN: &str = "SELECT project FROM conversation_projects WHERE context_id = $1 AND user_id = $2 AND since <= $3 \
     ORDER BY since DESC LIMIT 1";
/// How long a choice is kept after the next one: what was said meanwhile is stored by then.
const KEPT_MS: i64 = 14 * 24 * 60 * 60 * 1000;

/// The project that a conversation had at a time; empty for none.
pub(super) async fn of_conversation(
    transaction: &mut Transaction,
    context: &str,
    user: &str,
    at_ms: i64,
) -> Result<String, StoreError> {
    let rows = transaction.fetch(CHOSEN, &[context.into(), user.into(), at_ms.into()]).await?;
    rows.first().map_or_else(|| Ok(String::new()), |row| row.text("project"))
}

/// The id of a person's project, which is made if there is none of this name.
pub(super) async fn named(
    transaction: &mut Transaction,
    owner: &str,
    name: &str,
    at_ms: i64,
) -> Result<String, StoreError> {
    let sql = "INSERT INTO projects (id, owner_id, name, created_at, updated_at) VALUES ($1, $2, $3, $4, $4) \
               ON CONFLICT (owner_id, name) DO NOTHING";
    let id = Uuid::now_v7().to_string();
    transaction.execute(sql, &[id.into(), owner.into(), name.into(), at_ms.into()]).await?;
    let sql = "SELECT id FROM projects WHERE owner_id = $1 AND name = $2";
    let rows = transaction.fetch(sql, &[owner.into(), name.into()]).await?;
    rows.first().map_or_else(|| Ok(String::new()), |row| row.text("id"))
}

#[async_trait]
impl Projects for SqlMemory {
    async fn enter(
        &self,
        user: &str,
        conversation: &ConversationId,
        project: &str,
        at_ms: i64,
    ) -> Result<(), MemoryError> {
        let mut transaction = self.database.begin().await?;
        let user = people::hold(&mut transaction, user).await?;
        if of_conversation(&mut transaction, conversation.as_str(), &user, i64::MAX).await? == project {
            return Ok(());
        }
        let old: [Value; 3] = [conversation.as_str().into(), user.into(), at_ms.saturating_sub(KEPT_MS).into()];
        let sql = "DELETE FROM conversation_projects WHERE context_id = $1 AND user_id = $2 AND since < \
                   (SELECT MAX(n.since) FROM conversation_projects n WHERE n.context_id = $1 AND n.user_id = $2 \
                   AND n.since < $3)";
        transaction.execute(sql, &old).await?;
        let sql = "INSERT INTO conversation_projects (context_id, user_id, since, project) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (context_id, user_id, since) DO UPDATE SET project = $4";
        let [context, user, _] = old;
        transaction.execute(sql, &[context, user, at_ms.into(), project.into()]).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn project(&self, user: &str, conversation: &ConversationId) -> Result<String, MemoryError> {
        let values: [Value; 3] = [conversation.as_str().into(), user.into(), i64::MAX.into()];
        let rows = self.database.fetch(CHOSEN, &values).await?;
        Ok(rows.first().map_or_else(|| Ok(String::new()), |row| row.text("project"))?)
    }

    async fn projects(&self, user: &str) -> Result<Vec<Count>, MemoryError> {
        // One that was chosen, and of which nothing is remembered yet, is one too.
        let sql = "SELECT name, SUM(n) AS n FROM (SELECT f.project AS name, 1 AS n FROM memories f \
                   WHERE f.user_id = $1 AND f.project <> '' AND f.superseded_by IS NULL \
                   UNION ALL SELECT c.project AS name, 0 AS n FROM conversation_projects c WHERE c.user_id = $1 \
                   AND c.project <> '' AND c.since = (SELECT MAX(n.since) FROM conversation_projects n \
                   WHERE n.context_id = c.context_id AND n.user_id = c.user_id)) t \
                   GROUP BY name ORDER BY name LIMIT $2";
        let rows = self.database.fetch(sql, &[user.into(), LISTED.into()]).await?;
        let count = rows.iter().map(|row| {
            let value = u64::try_from(row.integer("n")?).unwrap_or(0);
            Ok::<_, StoreError>(Count { name: row.text("name")?, value })
        });
        Ok(count.collect::<Result<_, _>>()?)
    }
}
