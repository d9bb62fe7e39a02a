//! Facts as the index has them, and the vectors that are made of them.

use recall::Embedding;
use store::{Row, StoreError};

use super::SqlMemory;
use super::passages::{CHANGED, bytes_of, vectors_of};
use crate::ports::{MemoryError, Stored, Unembedded};
use crate::scope::Scope;

impl SqlMemory {
    pub(super) async fn facts_after(
        &self,
        user: &str,
        (position, id): (i64, &str),
        model: &str,
        limit: u32,
    ) -> Result<Vec<Stored>, MemoryError> {
        let sql = format!(
            "SELECT f.id, f.content, f.created_at, f.position, {} FROM memories f \
             LEFT JOIN memory_vectors v ON v.memory_id = f.id AND v.model = $3 \
             WHERE f.user_id = $1 AND (f.position > $2 OR (f.position = $2 AND f.id > $4)) \
             AND f.superseded_by IS NULL ORDER BY f.position, f.id LIMIT $5",
            self.vector_columns()
        );
        let values = [user.into(), position.into(), model.into(), id.into(), i64::from(limit).into()];
        let rows = self.database.fetch(&sql, &values).await?;
        Ok(rows.iter().map(stored).collect::<Result<_, _>>()?)
    }

    pub(super) async fn unembedded_facts(&self, model: &str, limit: u32) -> Result<Vec<Unembedded>, MemoryError> {
        let sql = "SELECT f.id, f.user_id, f.content FROM memories f LEFT JOIN memory_vectors v \
                   ON v.memory_id = f.id AND v.model = $1 WHERE v.memory_id IS NULL AND f.superseded_by IS NULL \
                   ORDER BY f.position DESC LIMIT $2";
        let rows = self.database.fetch(sql, &[model.into(), i64::from(limit).into()]).await?;
        let unembedded = rows.iter().map(|row| {
            Ok::<_, StoreError>(Unembedded {
                id: row.text("id")?,
                scope: Scope::Facts(row.text("user_id")?),
                speaker: String::new(),
                text: row.text("content")?,
                before: None,
            })
        });
        Ok(unembedded.collect::<Result<_, _>>()?)
    }

    pub(super) async fn store_fact_vectors(
        &self,
        model: &str,
        of: &Unembedded,
        vectors: &Embedding,
    ) -> Result<(), MemoryError> {
        let mut transaction = self.database.begin().await?;
        // It may have been erased, or have another text, meanwhile.
        let sql = "SELECT id FROM memories WHERE id = $1 AND content = $2";
        if transaction.fetch(sql, &[of.id.as_str().into(), of.text.as_str().into()]).await?.is_empty() {
            return Ok(());
        }
        let (vector, tokens) = bytes_of(vectors);
        let sql = "INSERT INTO memory_vectors (memory_id, model, vector, tokens) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (memory_id) DO UPDATE SET model = $2, vector = $3, tokens = $4";
        transaction.execute(sql, &[of.id.as_str().into(), model.into(), vector.into(), tokens.into()]).await?;
        transaction.execute(CHANGED, &[of.scope.to_string().into(), 0.into(), 1.into()]).await?;
        transaction.commit().await?;
        Ok(())
    }
}

fn stored(row: &Row) -> Result<Stored, StoreError> {
    let id = row.text("id")?;
    Ok(Stored {
        position: row.integer("position")?,
        passage: recall::Passage {
            // Facts were not said in one go with others.
            session: id.clone(),
            id,
            speaker: String::new(),
            text: row.text("content")?,
            at_ms: row.integer("created_at")?,
            vectors: vectors_of(row)?,
        },
    })
}
