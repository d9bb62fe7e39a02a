//! What was said, for the index: messages in their order, their vectors, and
//! what is still to be embedded.

use async_trait::async_trait;
use recall::{Embedding, Passage, TokenVectors};
use store::{Row, StoreError, Value};

use super::SqlMemory;
use crate::ports::{Changes, MemoryError, Passages, Stored, Unembedded};
use crate::scope::Scope;

/// Her name in what was said.
pub(super) const ASSISTANT: &str = "Clara";

/// The columns of a passage, but for its vectors.
const COLUMNS: &str = "m.id, m.session_id, m.role, m.name, m.content, m.created_at, m.position";

impl SqlMemory {
    /// The columns of vectors: those of texts are empty where another store compares them.
    pub(super) fn vector_columns(&self) -> &'static str {
        if self.compares_elsewhere { "SUBSTR(v.vector, 1, 0) AS vector, v.tokens" } else { "v.vector, v.tokens" }
    }

    /// Where the messages of a scope are, with the scope's key as `$1`.
    fn place(scope: &Scope) -> (&'static str, Value) {
        match scope {
            Scope::Person(user) => ("s.user_id = $1 AND s.audience = 'direct'", user.as_str().into()),
            Scope::Group(conversation) => ("s.context_id = $1 AND s.audience = 'group'", conversation.as_str().into()),
            // Facts are no messages: no message is theirs.
            Scope::Facts(user) => ("s.user_id = $1 AND 1 = 0", user.as_str().into()),
        }
    }
}

#[async_trait]
impl Passages for SqlMemory {
    async fn changes(&self, scope: &Scope) -> Result<Changes, MemoryError> {
        let sql = "SELECT said, embedded, erased FROM passage_changes WHERE scope = $1";
        let rows = self.database.fetch(sql, &[scope.to_string().into()]).await?;
        let Some(row) = rows.first() else { return Ok(Changes::default()) };
        Ok(Changes { said: row.integer("said")?, embedded: row.integer("embedded")?, erased: row.integer("erased")? })
    }

    async fn after(
        &self,
        scope: &Scope,
        (position, id): (i64, &str),
        model: &str,
        limit: u32,
    ) -> Result<Vec<Stored>, MemoryError> {
        if let Scope::Facts(user) = scope {
            return self.facts_after(user, (position, id), model, limit).await;
        }
        let (place, key) = Self::place(scope);
        let sql = format!(
            "SELECT {COLUMNS}, {} FROM messages m JOIN sessions s ON s.id = m.session_id \
             LEFT JOIN message_vectors v ON v.message_id = m.id AND v.model = $3 \
             WHERE {place} AND (m.position > $2 OR (m.position = $2 AND m.id > $4)) AND m.kind IN ('said', 'answered') AND m.content <> '' \
             ORDER BY m.position, m.id LIMIT $5",
            self.vector_columns()
        );
        let values = [key, position.into(), model.into(), id.into(), i64::from(limit).into()];
        let rows = self.database.fetch(&sql, &values).await?;
        Ok(rows.iter().map(stored).collect::<Result<_, _>>()?)
    }

    async fn is_participant(&self, scope: &Scope, user: &str) -> Result<bool, MemoryError> {
        let Scope::Group(conversation) = scope else { return Ok(true) };
        let sql = "SELECT m.id FROM messages m JOIN sessions s ON s.id = m.session_id \
                   WHERE s.context_id = $1 AND m.user_id = $2 LIMIT 1";
        let rows = self.database.fetch(sql, &[conversation.as_str().into(), user.into()]).await?;
        Ok(!rows.is_empty())
    }

    async fn embed_all(&self, model: &str) -> Result<(), MemoryError> {
        let sql = "INSERT INTO messages_to_embed (message_id, position) \
                   SELECT m.id, m.position FROM messages m WHERE m.kind IN ('said', 'answered') AND m.content <> '' \
                   AND NOT EXISTS (SELECT 1 FROM message_vectors v WHERE v.message_id = m.id AND v.model = $1) \
                   ON CONFLICT (message_id) DO NOTHING";
        self.database.execute(sql, &[model.into()]).await?;
        Ok(())
    }

    async fn unembedded(&self, model: &str, limit: u32) -> Result<Vec<Unembedded>, MemoryError> {
        // With what was said before in the same session.
        let sql = "SELECT m.id, m.role, m.name, m.content, s.audience, s.user_id, s.context_id, \
                   (SELECT b.content FROM messages b WHERE b.session_id = m.session_id AND b.position < m.position \
                    AND b.kind IN ('said', 'answered') ORDER BY b.position DESC LIMIT 1) AS said_before, \
                   (SELECT CASE WHEN b.role = 'assistant' THEN $2 ELSE b.name END FROM messages b \
                    WHERE b.session_id = m.session_id AND b.position < m.position \
                    AND b.kind IN ('said', 'answered') ORDER BY b.position DESC LIMIT 1) AS said_by \
                   FROM messages_to_embed e JOIN messages m ON m.id = e.message_id \
                   JOIN sessions s ON s.id = m.session_id ORDER BY e.position DESC LIMIT $1";
        let rows = self.database.fetch(sql, &[i64::from(limit).into(), ASSISTANT.into()]).await?;
        if rows.is_empty() {
            return self.unembedded_facts(model, limit).await;
        }
        Ok(rows.iter().map(unembedded).collect::<Result<_, _>>()?)
    }

    async fn count_unembedded(&self) -> Result<u64, MemoryError> {
        let rows = self.database.fetch("SELECT COUNT(*) AS all_of_them FROM messages_to_embed", &[]).await?;
        let count = rows.first().map_or(Ok(0), |row| row.integer("all_of_them"))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn store_vectors(&self, model: &str, of: &Unembedded, vectors: &Embedding) -> Result<(), MemoryError> {
        if matches!(of.scope, Scope::Facts(_)) {
            return self.store_fact_vectors(model, of, vectors).await;
        }
        let mut transaction = self.database.begin().await?;
        let id = of.id.as_str();
        let removed = transaction.execute("DELETE FROM messages_to_embed WHERE message_id = $1", &[id.into()]).await?;
        // Another replica was faster, or the message was forgotten meanwhile.
        if removed > 0 {
            let (vector, tokens) = bytes_of(vectors);
            let sql = "INSERT INTO message_vectors (message_id, model, vector, tokens) VALUES ($1, $2, $3, $4) \
                       ON CONFLICT (message_id) DO UPDATE SET model = $2, vector = $3, tokens = $4";
            transaction.execute(sql, &[id.into(), model.into(), vector.into(), tokens.into()]).await?;
            transaction.execute(CHANGED, &[of.scope.to_string().into(), 0.into(), 1.into()]).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// Counts what was said and embedded in a scope.
pub(super) const CHANGED: &str = "INSERT INTO passage_changes (scope, said, embedded) VALUES ($1, $2, $3) \
     ON CONFLICT (scope) DO UPDATE SET said = passage_changes.said + $2, embedded = passage_changes.embedded + $3";

/// Notes that something of a scope is gone, or is another: its indexes begin anew.
pub(super) const ERASED: &str = "INSERT INTO passage_changes (scope, erased) VALUES ($1, 1) \
     ON CONFLICT (scope) DO UPDATE SET erased = passage_changes.erased + 1";

fn speaker(row: &Row) -> Result<String, StoreError> {
    if row.text("role")? == "assistant" { Ok(ASSISTANT.to_owned()) } else { row.text("name") }
}

/// Vectors as they are stored. A model without vectors of words leaves theirs
/// empty: databases behind one driver do not agree on how an absent value of
/// bytes is bound.
pub(super) fn bytes_of(vectors: &Embedding) -> (Vec<u8>, Vec<u8>) {
    let vector = vectors.text.iter().flat_map(|value| value.to_le_bytes()).collect();
    (vector, vectors.tokens.as_ref().map(TokenVectors::to_bytes).unwrap_or_default())
}

pub(super) fn values_of(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}

/// The vectors of a row's `vector` and `tokens`; none for NULL.
pub(super) fn vectors_of(row: &Row) -> Result<Option<Embedding>, StoreError> {
    let tokens = row.bytes("tokens")?.and_then(|bytes| TokenVectors::from_bytes(&bytes).ok());
    Ok(row.bytes("vector")?.map(|bytes| Embedding { text: values_of(&bytes), tokens }))
}

fn stored(row: &Row) -> Result<Stored, StoreError> {
    Ok(Stored {
        position: row.integer("position")?,
        passage: Passage {
            id: row.text("id")?,
            session: row.text("session_id")?,
            speaker: speaker(row)?,
            text: row.text("content")?,
            at_ms: row.integer("created_at")?,
            vectors: vectors_of(row)?,
        },
    })
}

fn unembedded(row: &Row) -> Result<Unembedded, StoreError> {
    let scope = match row.text("audience")?.as_str() {
        "group" => domain::ids::ConversationId::parse(&row.text("context_id")?).ok().map(Scope::Group),
        _ => None,
    };
    Ok(Unembedded {
        id: row.text("id")?,
        scope: scope.map_or_else(|| row.text("user_id").map(Scope::Person), Ok)?,
        speaker: speaker(row)?,
        text: row.text("content")?,
        before: row.optional_text("said_before")?.zip(row.optional_text("said_by")?),
    })
}
