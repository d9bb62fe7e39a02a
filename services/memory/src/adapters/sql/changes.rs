//! How facts change: each change with its note in the history, within a
//! transaction that somebody else begins and commits.

use domain::memory::Fact;
use learn::fsrs::Memory;
use learn::relation::{Relation, relations};
use learn::strength::{Signal, Strength};
use store::{StoreError, Transaction, Value};
use uuid::Uuid;

use super::facts::{DYNAMICS, IDS, places, remembered, with_ids};
use crate::learning::graded;
use crate::ports::Change;

/// Notes that an answer used facts.
pub(super) async fn strengthen(
    transaction: &mut Transaction,
    user: &str,
    at_ms: i64,
    used: &[String],
) -> Result<(), StoreError> {
    for ids in used.chunks(IDS) {
        let sql = format!("{DYNAMICS} AND d.memory_id IN ({})", places(2, ids.len()));
        let rows = transaction.fetch(&sql, &with_ids(&[user.into()], ids)).await?;
        let near = rows.iter().map(remembered).collect::<Result<Vec<_>, _>>()?;
        let mut by = By { transaction, user, actor: "clara", at_ms };
        for id in ids {
            if let Some(change) = graded(&near, id, Signal::UsedInResponse.grade(), at_ms) {
                by.apply(&change).await?;
            }
        }
    }
    Ok(())
}

/// What a change does to an index of the facts.
pub(super) enum Effect {
    Added,
    /// Something in it is another, or gone.
    Another,
    Same,
    /// It was done before, or must not be done any more: what follows from it neither.
    Nothing,
}

/// Changes by one actor, at one time.
pub(super) struct By<'a> {
    pub(super) transaction: &'a mut Transaction,
    pub(super) user: &'a str,
    pub(super) actor: &'a str,
    pub(super) at_ms: i64,
}

impl By<'_> {
    pub(super) async fn apply(&mut self, change: &Change) -> Result<Effect, StoreError> {
        match change {
            Change::Add { sources, .. } | Change::Rewrite { sources, .. } | Change::Cite { sources, .. }
                if self.is_erased(sources).await? =>
            {
                Ok(Effect::Nothing)
            }
            Change::Add { fact, sources } => self.add(fact, sources).await,
            Change::Rewrite { id, text, event, sources } => {
                let Some(old) = self.text(id).await? else { return Ok(Effect::Same) };
                let sql = "UPDATE memories SET content = $2, updated_at = $3 WHERE id = $1";
                self.transaction.execute(sql, &[id.as_str().into(), text.as_str().into(), self.at_ms.into()]).await?;
                self.transaction
                    .execute("DELETE FROM memory_vectors WHERE memory_id = $1", &[id.as_str().into()])
                    .await?;
                self.relate(id, text).await?;
                self.cite(id, sources).await?;
                self.note(id, event, &old, text, "").await?;
                Ok(Effect::Another)
            }
            Change::Cite { id, sources } => {
                self.cite(id, sources).await?;
                Ok(Effect::Same)
            }
            Change::Supersede { old, by, reason } => {
                let (Some(was), Some(now)) = (self.text(old).await?, self.text(by).await?) else {
                    return Ok(Effect::Same);
                };
                let sql = "UPDATE memories SET superseded_by = $2, updated_at = $3 WHERE id = $1";
                self.transaction.execute(sql, &[old.as_str().into(), by.as_str().into(), self.at_ms.into()]).await?;
                self.note(old, "SUPERSEDE", &was, &now, reason).await?;
                Ok(Effect::Another)
            }
            Change::Mark { id, is_key, is_public, project } => {
                let visibility = is_public.map(|public| if public { "public" } else { "private" }.to_owned());
                let sql = "UPDATE memories SET visibility = COALESCE($3, visibility), project = COALESCE($4, project) \
                           WHERE id = $1 AND user_id = $2";
                let values = [id.as_str().into(), self.user.into(), visibility.into(), project.clone().into()];
                self.transaction.execute(sql, &values).await?;
                if let Some(is_key) = is_key {
                    let sql = "UPDATE memories SET is_key = $3 WHERE id = $1 AND user_id = $2";
                    let values: [Value; 3] = [id.as_str().into(), self.user.into(), i64::from(*is_key).into()];
                    self.transaction.execute(sql, &values).await?;
                }
                Ok(Effect::Same)
            }
            Change::Strengthen { id, strength } => {
                let sql = "UPDATE memory_dynamics SET stability = $3, difficulty = $4, retrieval_strength = $5, \
                           storage_strength = $6, last_accessed_at = $7, access_count = access_count + 1 \
                           WHERE memory_id = $1 AND user_id = $2";
                let mut values: Vec<Value> = vec![id.as_str().into(), self.user.into()];
                values.extend(strength_values(strength));
                values.push(self.at_ms.into());
                self.transaction.execute(sql, &values).await?;
                Ok(Effect::Same)
            }
        }
    }

    async fn add(&mut self, fact: &Fact, sources: &[String]) -> Result<Effect, StoreError> {
        // In the order in which facts are stored, whatever they say of their age.
        let sql = "INSERT INTO memories (id, user_id, content, category, is_key, visibility, origin, confidence, created_at, \
                   updated_at, project, position) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, \
                   COALESCE(MAX(position), 0) + 1 FROM memories WHERE user_id = $2 ON CONFLICT (id) DO NOTHING";
        // PostgreSQL stores no NUL in text.
        let text = fact.text.replace('\0', "");
        let values = [
            fact.id.as_str().into(),
            self.user.into(),
            text.as_str().into(),
            fact.category.as_str().into(),
            i64::from(fact.is_key).into(),
            if fact.is_public { "public" } else { "private" }.into(),
            fact.origin.as_str().into(),
            i64::from(fact.confidence).into(),
            fact.created_at_ms.into(),
            fact.project.as_str().into(),
        ];
        if self.transaction.execute(sql, &values).await? == 0 {
            return Ok(Effect::Nothing);
        }
        let sql = "INSERT INTO memory_dynamics (memory_id, user_id, stability, difficulty, retrieval_strength, \
                   storage_strength, last_accessed_at, access_count) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)";
        let mut values: Vec<Value> = vec![fact.id.as_str().into(), self.user.into()];
        values.extend(strength_values(&Strength::default()));
        values.push(fact.created_at_ms.into());
        self.transaction.execute(sql, &values).await?;
        self.relate(&fact.id, &text).await?;
        self.cite(&fact.id, sources).await?;
        self.note(&fact.id, "ADD", "", &text, fact.origin.as_str()).await?;
        Ok(Effect::Added)
    }

    /// Whether a message was erased that something is about to be learnt from.
    async fn is_erased(&mut self, sources: &[String]) -> Result<bool, StoreError> {
        for source in sources {
            let sql = "SELECT id FROM messages WHERE id = $1";
            if self.transaction.fetch(sql, &[source.as_str().into()]).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn text(&mut self, id: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT content FROM memories WHERE id = $1 AND user_id = $2";
        let rows = self.transaction.fetch(sql, &[id.into(), self.user.into()]).await?;
        rows.first().map(|row| row.text("content")).transpose()
    }

    /// The relations that a fact names, in place of those it named before.
    pub(super) async fn relate(&mut self, id: &str, text: &str) -> Result<(), StoreError> {
        self.transaction.execute("DELETE FROM memory_relations WHERE memory_id = $1", &[id.into()]).await?;
        let sql = "INSERT INTO memory_relations (memory_id, user_id, subject, predicate, object) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        for Relation { subject, predicate, object } in relations(text) {
            let values = [id.into(), self.user.into(), subject.into(), predicate.into(), object.into()];
            self.transaction.execute(sql, &values).await?;
        }
        Ok(())
    }

    async fn cite(&mut self, id: &str, sources: &[String]) -> Result<(), StoreError> {
        let sql = "INSERT INTO memory_sources (memory_id, message_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        for source in sources {
            self.transaction.execute(sql, &[id.into(), source.as_str().into()]).await?;
        }
        Ok(())
    }

    /// Notes what became of a memory that is still there.
    pub(super) async fn note_known(&mut self, id: &str, event: &str, old: &str, new: &str) -> Result<(), StoreError> {
        match self.text(id).await? {
            Some(_) => self.note(id, event, old, new, "imported").await,
            None => Ok(()),
        }
    }

    pub(super) async fn note(
        &mut self,
        id: &str,
        event: &str,
        old: &str,
        new: &str,
        reason: &str,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO memory_history (id, memory_id, user_id, event, old_memory, new_memory, actor_id, reason, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let values = [
            Uuid::now_v7().to_string().into(),
            id.into(),
            self.user.into(),
            event.into(),
            old.into(),
            new.into(),
            self.actor.into(),
            reason.into(),
            self.at_ms.into(),
        ];
        self.transaction.execute(sql, &values).await.map(|_| ())
    }
}

fn strength_values(strength: &Strength) -> [Value; 4] {
    let Strength { memory: Memory { stability, difficulty }, retrieval, storage } = *strength;
    [stability.into(), difficulty.into(), retrieval.into(), storage.into()]
}
