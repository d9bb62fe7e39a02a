//! Vectors in PostgreSQL with the extension pgvector: <https://github.com/pgvector/pgvector>.
//!
//! A table of its own, which is made when the first vector comes: its width is not
//! known before. It may be in another database than the memories.

use async_trait::async_trait;
use store::{Database, StoreError, Value};
use tokio::sync::OnceCell;

use crate::mirrors::{Mirror, MirrorError, Point, VectorStore};
use crate::scope::Scope;

/// What people know it by.
const NAME: &str = "pgvector";
/// Widest vector that an index takes.
const INDEXED: usize = 2000;
/// Most ids of one statement.
const IDS: usize = 500;

pub(crate) struct PgVectors {
    url: String,
    target: String,
    opened: OnceCell<Opened>,
}

struct Opened {
    database: Database,
    /// Whether an index goes on looking until enough of a scope is found (since 0.8).
    goes_on: bool,
}

impl PgVectors {
    /// Nothing is asked of the database yet: it may be away.
    pub(crate) fn new(url: String, model: &str) -> Self {
        let target = format!("{} vector_points {model}", bus::shown_url(&url));
        Self { url, target, opened: OnceCell::new() }
    }

    async fn opened(&self) -> Result<&Opened, MirrorError> {
        self.opened.get_or_try_init(|| self.open()).await
    }

    async fn open(&self) -> Result<Opened, MirrorError> {
        let database = Database::postgres(&self.url).await.map_err(|_| MirrorError {
            store: NAME,
            why: "it cannot be reached: check ROOK_DATABASE_URL, and that PostgreSQL is running there".to_owned(),
        })?;
        Self::install(&database).await.map_err(|err| {
            let MirrorError { store, why } = failed(err);
            MirrorError {
                store,
                why: format!("{why}; install pgvector, and run CREATE EXTENSION vector as a superuser"),
            }
        })?;
        let sql = "SELECT CAST(extversion AS TEXT) AS version FROM pg_extension WHERE extname = 'vector'";
        let rows = database.fetch(sql, &[]).await.map_err(failed)?;
        let version = rows.first().map_or(Ok(String::new()), |row| row.text("version")).map_err(failed)?;
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let goes_on = (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (0, 8);
        Ok(Opened { database, goes_on })
    }

    /// Replicas that start together do it one after the other.
    async fn install(database: &Database) -> Result<(), StoreError> {
        let mut transaction = database.begin().await?;
        transaction.lock("vector_points").await?;
        transaction.execute("CREATE EXTENSION IF NOT EXISTS vector", &[]).await?;
        transaction.commit().await
    }

    /// Makes the table for vectors of a width; another replica may do the same.
    async fn make(database: &Database, width: usize) -> Result<(), StoreError> {
        let mut transaction = database.begin().await?;
        transaction.lock("vector_points").await?;
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS vector_points \
             (id TEXT PRIMARY KEY, scope TEXT NOT NULL, embedding vector({width}) NOT NULL)"
        );
        transaction.execute(&sql, &[]).await?;
        transaction.execute("CREATE INDEX IF NOT EXISTS vector_points_scope ON vector_points (scope)", &[]).await?;
        if width <= INDEXED {
            let sql = "CREATE INDEX IF NOT EXISTS vector_points_near ON vector_points \
                       USING hnsw (embedding vector_cosine_ops)";
            transaction.execute(sql, &[]).await?;
        }
        transaction.commit().await
    }

    async fn put_all(database: &Database, points: &[Point]) -> Result<(), StoreError> {
        let mut transaction = database.begin().await?;
        let sql = "INSERT INTO vector_points (id, scope, embedding) VALUES ($1, $2, ($3)::vector) \
                   ON CONFLICT (id) DO UPDATE SET scope = $2, embedding = ($3)::vector";
        for point in points {
            let values: [Value; 3] =
                [point.id.as_str().into(), point.scope.to_string().into(), literal(&point.vector).into()];
            transaction.execute(sql, &values).await?;
        }
        transaction.commit().await
    }

    async fn find(
        Opened { database, goes_on }: &Opened,
        scope: &Scope,
        vector: &[f32],
        limit: usize,
    ) -> Result<Vec<(String, f32)>, StoreError> {
        let mut transaction = database.begin().await?;
        if *goes_on {
            transaction.execute("SET LOCAL hnsw.iterative_scan = 'strict_order'", &[]).await?;
        }
        let sql = "SELECT id, 1 - (embedding <=> ($2)::vector) AS cosine FROM vector_points WHERE scope = $1 \
                   ORDER BY embedding <=> ($2)::vector LIMIT $3";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values: [Value; 3] = [scope.to_string().into(), literal(vector).into(), limit.into()];
        let rows = transaction.fetch(sql, &values).await?;
        transaction.commit().await?;
        rows.iter().map(|row| Ok((row.text("id")?, row.real("cosine")? as f32))).collect()
    }
}

#[async_trait]
impl Mirror<Point> for PgVectors {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target(&self) -> &str {
        &self.target
    }

    async fn exists(&self) -> Result<bool, MirrorError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) AS n FROM pg_class WHERE oid = to_regclass('vector_points')";
        let rows = self.opened().await?.database.fetch(sql, &[]).await.map_err(failed)?;
        Ok(rows.first().map_or(Ok(0), |row| row.integer("n")).map_err(failed)? > 0)
    }

    async fn reset(&self) -> Result<(), MirrorError> {
        let database = &self.opened().await?.database;
        database.execute("DROP TABLE IF EXISTS vector_points", &[]).await.map(|_| ()).map_err(failed)
    }

    async fn put(&self, points: &[Point]) -> Result<(), MirrorError> {
        let database = &self.opened().await?.database;
        if !self.exists().await? {
            let width = points.first().map_or(0, |point| point.vector.len());
            Self::make(database, width).await.map_err(failed)?;
        }
        Self::put_all(database, points).await.map_err(failed)
    }

    async fn remove(&self, ids: &[String]) -> Result<(), MirrorError> {
        if !self.exists().await? {
            return Ok(());
        }
        for ids in ids.chunks(IDS) {
            let (list, values) = listed(ids);
            let sql = format!("DELETE FROM vector_points WHERE id IN ({list})");
            self.opened().await?.database.execute(&sql, &values).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn holding(&self, ids: &[String]) -> Result<u64, MirrorError> {
        if !self.exists().await? {
            return Ok(0);
        }
        let mut held = 0;
        for ids in ids.chunks(IDS) {
            let (list, values) = listed(ids);
            let sql = format!("SELECT COUNT(*) AS n FROM vector_points WHERE id IN ({list})");
            let rows = self.opened().await?.database.fetch(&sql, &values).await.map_err(failed)?;
            let found = rows.first().map_or(Ok(0), |row| row.integer("n")).map_err(failed)?;
            held += u64::try_from(found).unwrap_or(0);
        }
        Ok(held)
    }
}

#[async_trait]
impl VectorStore for PgVectors {
    async fn nearest(&self, scope: &Scope, vector: &[f32], limit: usize) -> Result<Vec<(String, f32)>, MirrorError> {
        if !self.exists().await? {
            return Ok(Vec::new());
        }
        Self::find(self.opened().await?, scope, vector, limit).await.map_err(failed)
    }
}

/// A vector as pgvector reads it: `[1,2,3]`.
fn literal(vector: &[f32]) -> String {
    let values: Vec<String> = vector.iter().map(f32::to_string).collect();
    format!("[{}]", values.join(","))
}

fn listed(ids: &[String]) -> (String, Vec<Value>) {
    let places: Vec<String> = (1..=ids.len()).map(|place| format!("${place}")).collect();
    (places.join(", "), ids.iter().map(|id| id.as_str().into()).collect())
}

fn failed(err: StoreError) -> MirrorError {
    let why = match std::error::Error::source(&err) {
        Some(source) => format!("{err}: {source}"),
        None => err.to_string(),
    };
    MirrorError { store: NAME, why }
}
