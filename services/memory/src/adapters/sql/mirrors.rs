//! What is copied to stores beside the database: vectors, and relations. Triggers
//! queue what changes; see the migration `mirrors`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::ids::ConversationId;
use learn::relation::Relation;
use store::{Database, Dialect, Row, StoreError};

use super::SqlMemory;
use super::facts::{places, with_ids};
use super::passages::values_of;
use crate::mirrors::{MirrorQueue, Mirrored, Point, Queued, Related};
use crate::ports::MemoryError;
use crate::scope::Scope;

/// The queue's name for vectors.
const VECTORS: &str = "vectors";
/// The queue's name for relations.
const RELATIONS: &str = "relations";

/// What of the database is copied to a store: every change of it is queued.
struct Copied {
    database: Database,
    store: &'static str,
    /// Every id, for a store that is filled anew.
    all: &'static str,
}

impl SqlMemory {
    /// The vectors of one model.
    pub(crate) fn vectors_to_mirror(&self, model: &str) -> Vectors {
        let all = "SELECT memory_id AS id FROM memory_vectors UNION ALL SELECT message_id AS id FROM message_vectors";
        let copied = Copied { database: self.database.clone(), store: VECTORS, all };
        Vectors { copied, model: model.to_owned() }
    }

    pub(crate) fn relations_to_mirror(&self) -> Relations {
        let all = "SELECT DISTINCT memory_id AS id FROM memory_relations";
        Relations(Copied { database: self.database.clone(), store: RELATIONS, all })
    }
}

impl Copied {
    async fn fetch(&self, sql: &str, first: &[store::Value], queued: &[Queued]) -> Result<Vec<Row>, MemoryError> {
        let ids: Vec<String> = queued.iter().map(|queued| queued.id.clone()).collect();
        let sql = sql.replace("{ids}", &places(first.len() + 1, ids.len()));
        Ok(self.database.fetch(&sql, &with_ids(first, &ids)).await?)
    }
}

#[async_trait]
impl MirrorQueue for Copied {
    async fn stop(&self) -> Result<(), MemoryError> {
        let mut transaction = self.database.begin().await?;
        transaction.execute("DELETE FROM mirrors WHERE store = $1", &[self.store.into()]).await?;
        transaction.execute("DELETE FROM mirror_queue WHERE store = $1", &[self.store.into()]).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn target(&self) -> Result<Option<String>, MemoryError> {
        let rows = self.database.fetch("SELECT target FROM mirrors WHERE store = $1", &[self.store.into()]).await?;
        Ok(rows.first().map(|row| row.text("target")).transpose()?)
    }

    async fn claim(&self, holder: &str, now_ms: i64, until_ms: i64) -> Result<bool, MemoryError> {
        let sql = "INSERT INTO mirrors (store, target, holder, held_until) VALUES ($1, '', $2, $4) \
                   ON CONFLICT (store) DO UPDATE SET holder = $2, held_until = $4 \
                   WHERE mirrors.holder = $2 OR mirrors.held_until < $3";
        let values = [self.store.into(), holder.into(), now_ms.into(), until_ms.into()];
        Ok(self.database.execute(sql, &values).await? > 0)
    }

    async fn begin_anew(&self, target: &str, stamp: i64) -> Result<(), MemoryError> {
        let mut transaction = self.database.begin().await?;
        if self.database.dialect() == Dialect::Postgres {
            // Whoever is changing these began before there was a queue: they are waited for.
            let sql =
                "LOCK TABLE memories, memory_vectors, message_vectors, memory_relations IN SHARE ROW EXCLUSIVE MODE";
            transaction.execute(sql, &[]).await?;
        }
        let sql = "INSERT INTO mirrors (store, target) VALUES ($1, $2) ON CONFLICT (store) DO UPDATE SET target = $2";
        transaction.execute(sql, &[self.store.into(), target.into()]).await?;
        // With a stamp of its own, what another replica is copying stays queued.
        let sql = format!(
            "INSERT INTO mirror_queue (store, id, stamp) SELECT $1, a.id, $2 FROM ({}) a WHERE 1 = 1 \
             ON CONFLICT (store, id) DO UPDATE SET stamp = $2",
            self.all
        );
        transaction.execute(&sql, &[self.store.into(), stamp.into()]).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn queued(&self, limit: u32) -> Result<Vec<Queued>, MemoryError> {
        let sql = "SELECT id, stamp FROM mirror_queue WHERE store = $1 LIMIT $2";
        let rows = self.database.fetch(sql, &[self.store.into(), i64::from(limit).into()]).await?;
        let queued = |row: &Row| Ok::<_, StoreError>(Queued { id: row.text("id")?, stamp: row.integer("stamp")? });
        Ok(rows.iter().map(queued).collect::<Result<_, _>>()?)
    }

    async fn hold(&self, target: &str, holder: &str, now_ms: i64, until_ms: i64) -> Result<bool, MemoryError> {
        let sql = "UPDATE mirrors SET holder = $3, held_until = $5 WHERE store = $1 AND target = $2 \
                   AND (holder = $3 OR held_until < $4)";
        let values = [self.store.into(), target.into(), holder.into(), now_ms.into(), until_ms.into()];
        Ok(self.database.execute(sql, &values).await? > 0)
    }

    async fn release(&self, holder: &str) -> Result<(), MemoryError> {
        let sql = "UPDATE mirrors SET held_until = 0 WHERE store = $1 AND holder = $2";
        self.database.execute(sql, &[self.store.into(), holder.into()]).await?;
        Ok(())
    }

    async fn requeue(&self, queued: &[Queued], stamp: i64) -> Result<(), MemoryError> {
        let sql = "INSERT INTO mirror_queue (store, id, stamp) VALUES ($1, $2, $3) \
                   ON CONFLICT (store, id) DO UPDATE SET stamp = $3";
        for Queued { id, .. } in queued {
            self.database.execute(sql, &[self.store.into(), id.as_str().into(), stamp.into()]).await?;
        }
        Ok(())
    }

    async fn settle(&self, queued: &[Queued]) -> Result<(), MemoryError> {
        // One after the other: whoever changes the same rows in an order of their own is
        // never waited for with some of them in hand.
        let sql = "DELETE FROM mirror_queue WHERE store = $1 AND id = $2 AND stamp = $3";
        for Queued { id, stamp } in queued {
            self.database.execute(sql, &[self.store.into(), id.as_str().into(), (*stamp).into()]).await?;
        }
        Ok(())
    }
}

/// Vectors of what was said, and of facts that are true.
pub(crate) struct Vectors {
    copied: Copied,
    model: String,
}

#[async_trait]
impl Mirrored<Point> for Vectors {
    fn queue(&self) -> &dyn MirrorQueue {
        &self.copied
    }

    async fn current(&self, queued: &[Queued]) -> Result<Vec<Point>, MemoryError> {
        let model = [self.model.as_str().into()];
        let sql = "SELECT f.id, f.user_id, v.vector FROM memory_vectors v JOIN memories f ON f.id = v.memory_id \
                   WHERE v.model = $1 AND f.superseded_by IS NULL AND f.id IN ({ids})";
        let facts = self.copied.fetch(sql, &model, queued).await?;
        let sql = "SELECT m.id, s.audience, s.user_id, s.context_id, v.vector FROM message_vectors v \
                   JOIN messages m ON m.id = v.message_id JOIN sessions s ON s.id = m.session_id \
                   WHERE v.model = $1 AND m.id IN ({ids})";
        let said = self.copied.fetch(sql, &model, queued).await?;
        let mut points = Vec::with_capacity(facts.len() + said.len());
        for row in &facts {
            points.extend(point(row, Scope::Facts(row.text("user_id")?))?);
        }
        for row in &said {
            let conversation = ConversationId::parse(&row.text("context_id")?);
            let scope = match (row.text("audience")?.as_str(), conversation) {
                ("group", Ok(conversation)) => Scope::Group(conversation),
                _ => Scope::Person(row.text("user_id")?),
            };
            points.extend(point(row, scope)?);
        }
        Ok(points)
    }
}

/// None for what the model does not take.
fn point(row: &Row, scope: Scope) -> Result<Option<Point>, StoreError> {
    let vector = values_of(&row.bytes("vector")?.unwrap_or_default());
    Ok((!vector.is_empty()).then_some(Point { id: row.text("id")?, scope, vector }))
}

/// Relations of facts that are true.
pub(crate) struct Relations(Copied);

#[async_trait]
impl Mirrored<Related> for Relations {
    fn queue(&self) -> &dyn MirrorQueue {
        &self.0
    }

    async fn current(&self, queued: &[Queued]) -> Result<Vec<Related>, MemoryError> {
        let sql = "SELECT r.memory_id, r.user_id, r.subject, r.predicate, r.object FROM memory_relations r \
                   JOIN memories f ON f.id = r.memory_id WHERE f.superseded_by IS NULL AND r.memory_id IN ({ids})";
        let mut all: BTreeMap<String, Related> = BTreeMap::new();
        for row in &self.0.fetch(sql, &[], queued).await? {
            let (id, user) = (row.text("memory_id")?, row.text("user_id")?);
            let related = all.entry(id.clone()).or_insert_with(|| Related { id, user, relations: Vec::new() });
            related.relations.push(relation(row)?);
        }
        Ok(all.into_values().collect())
    }
}

pub(super) fn relation(row: &Row) -> Result<Relation, StoreError> {
    let (subject, predicate, object) = (row.text("subject")?, row.text("predicate")?, row.text("object")?);
    Ok(Relation { subject, predicate, object })
}
