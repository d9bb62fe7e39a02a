//! Databases: one SQL dialect for SQLite and PostgreSQL.
//!
//! The only user of sqlx. Statements use `$1` placeholders, `BIGINT`, `TEXT`
//! and `DOUBLE PRECISION` columns, which both databases read alike; where they
//! differ (full text), the caller asks for the [`Dialect`]. Writers on SQLite
//! begin at once with the write lock, because an upgrade from a read lock fails
//! under load whatever the busy timeout.

mod migrate; // Bringing a database to this build's schema.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyArguments, AnyPoolOptions, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Connection, Executor, Row as _};

use tokio::sync::{Mutex, OwnedMutexGuard};

pub use migrate::Migration;

/// Connections of one process.
const CONNECTIONS: u32 = 4;
/// How long a statement waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(10);
/// How long a connection may have been idle and still be used without asking whether it
/// lives: each asking is a round trip more, and a file does not go away.
const FRESH: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the database {place}: {why}. {remedy}")]
    Open { place: String, why: String, remedy: &'static str },
    #[error(
        "the database {place} has schema {found}, and this build knows {known}: it was written by a newer Clara. \
         Run that version, or restore a backup from before the upgrade"
    )]
    Newer { place: String, found: i64, known: i64 },
    #[error("the database refused a statement")]
    Statement(#[source] sqlx::Error),
    #[error("a column is not as the code expects")]
    Column(#[source] sqlx::Error),
}

/// Which database answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// A value bound to a placeholder.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Integer(i64),
    Real(f64),
    Bytes(Vec<u8>),
    Null,
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Integer(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Real(number)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Value::Bytes(bytes)
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        text.map_or(Value::Null, Value::Text)
    }
}

/// One row of a result.
pub struct Row(AnyRow);

impl Row {
    pub fn text(&self, column: &str) -> Result<String, StoreError> {
        self.0.try_get(column).map_err(StoreError::Column)
    }

    pub fn integer(&self, column: &str) -> Result<i64, StoreError> {
        self.0.try_get(column).map_err(StoreError::Column)
    }

    /// `None` for NULL.
    pub fn optional_integer(&self, column: &str) -> Result<Option<i64>, StoreError> {
        self.0.try_get(column).map_err(StoreError::Column)
    }

    pub fn real(&self, column: &str) -> Result<f64, StoreError> {
        self.0.try_get(column).map_err(StoreError::Column)
    }

    /// `None` for NULL.
    pub fn optional_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.0.try_get(column).map_err(StoreError::Column)
    }

    /// `None` for NULL.
    pub fn bytes(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.try_get(column).map_err(StoreError::Column)
    }
}

/// An open database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: AnyPool,
    dialect: Dialect,
    place: String,
    /// SQLite has one writer at a time: ours wait here, in order, rather than
    /// each sleep and try again.
    writer: Arc<Mutex<()>>,
}

impl Database {
    /// Opens PostgreSQL by its URL.
    pub async fn postgres(url: &str) -> Result<Self, StoreError> {
        // The URL holds the password: only what follows it is shown.
        let place =
            url.rsplit_once('@').map_or_else(|| "PostgreSQL".to_owned(), |(_, place)| format!("postgres://{place}"));
        Self::open(url, Dialect::Postgres, place, "Check DATABASE_URL and that PostgreSQL is running").await
    }

    /// Opens a SQLite file, and makes it if there is none.
    pub async fn sqlite(file: &Path) -> Result<Self, StoreError> {
        let place = file.display().to_string();
        let remedy =
            "Check that the folder can be written; a damaged file must be restored from a backup or moved away";
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(|err| StoreError::Open {
                place: place.clone(),
                why: err.to_string(),
                remedy,
            })?;
        }
        Self::open(&format!("sqlite://{}?mode=rwc", file.display()), Dialect::Sqlite, place, remedy).await
    }

    async fn open(url: &str, dialect: Dialect, place: String, remedy: &'static str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let failed = |err: sqlx::Error| StoreError::Open { place: place.clone(), why: err.to_string(), remedy };
        // One connection first: the pool would try a damaged file again and
        // again until its time is up.
        let mut probe = AnyConnection::connect(url).await.map_err(failed)?;
        if dialect == Dialect::Sqlite {
            probe.execute("PRAGMA schema_version").await.map_err(failed)?;
        }
        probe.close().await.map_err(failed)?;
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .before_acquire(move |connection, idle| {
                Box::pin(async move {
                    if dialect == Dialect::Postgres && idle.idle_for > FRESH {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if dialect == Dialect::Sqlite {
                        let pragmas = "PRAGMA journal_mode=WAL; PRAGMA busy_timeout=5000; PRAGMA foreign_keys=ON; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON";
                        connection.execute(pragmas).await?;
                    }
                    Ok(())
                })
            })
            .connect(url)
            .await
            .map_err(failed)?;
        Ok(Self { pool, dialect, place, writer: Arc::default() })
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Brings the schema to this build's, under a lock that other replicas
    /// wait for.
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<(), StoreError> {
        migrate::run(self, "schema_migrations", migrations).await
    }

    /// The same for tables of another service in the same database: `of` names them.
    pub async fn migrate_as(&self, of: &str, migrations: &[Migration]) -> Result<(), StoreError> {
        migrate::run(self, &format!("schema_migrations_{of}"), migrations).await
    }

    pub async fn fetch(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let rows = bind(sql, values).fetch_all(&self.pool).await.map_err(StoreError::Statement)?;
        Ok(rows.into_iter().map(Row).collect())
    }

    pub async fn execute(&self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        let _writing = self.alone().await;
        bind(sql, values).execute(&self.pool).await.map(|done| done.rows_affected()).map_err(StoreError::Statement)
    }

    /// Waits until no other writer of this process is at work, where that matters.
    async fn alone(&self) -> Option<OwnedMutexGuard<()>> {
        match self.dialect {
            Dialect::Sqlite => Some(Arc::clone(&self.writer).lock_owned().await),
            Dialect::Postgres => None,
        }
    }

    /// Begins a transaction that writes. Dropped without a commit, it is undone.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let writing = self.alone().await;
        let begun = match self.dialect {
            Dialect::Sqlite => self.pool.begin_with("BEGIN IMMEDIATE").await,
            Dialect::Postgres => self.pool.begin().await,
        };
        Ok(Transaction { inner: begun.map_err(StoreError::Statement)?, dialect: self.dialect, _writing: writing })
    }

    /// Removes what was deleted from the database's files too, as far as the
    /// database can: SQLite overwrites it when it is deleted and empties its log
    /// here; PostgreSQL frees it for what comes.
    pub async fn scrub(&self) -> Result<(), StoreError> {
        let _writing = self.alone().await;
        let sql = match self.dialect {
            Dialect::Sqlite => "PRAGMA wal_checkpoint(TRUNCATE)",
            Dialect::Postgres => "VACUUM",
        };
        sqlx::query(sql).execute(&self.pool).await.map(|_| ()).map_err(StoreError::Statement)
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Statements that happen together or not at all.
pub struct Transaction {
    inner: sqlx::Transaction<'static, Any>,
    dialect: Dialect,
    _writing: Option<OwnedMutexGuard<()>>,
}

impl Transaction {
    pub async fn fetch(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let rows = bind(sql, values).fetch_all(&mut *self.inner).await.map_err(StoreError::Statement)?;
        Ok(rows.into_iter().map(Row).collect())
    }

    pub async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        let done = bind(sql, values).execute(&mut *self.inner).await;
        done.map(|done| done.rows_affected()).map_err(StoreError::Statement)
    }

    /// Waits until no other transaction holds `key`.
    pub async fn lock(&mut self, key: &str) -> Result<(), StoreError> {
        if !self.is_alone() {
            let sql = "SELECT CAST(pg_advisory_xact_lock(hashtextextended($1, 0)) AS TEXT)";
            self.fetch(sql, &[key.into()]).await?;
        }
        Ok(())
    }

    /// Whether no other transaction writes until this one ends: so it is on SQLite.
    pub fn is_alone(&self) -> bool {
        self.dialect == Dialect::Sqlite
    }

    pub async fn commit(self) -> Result<(), StoreError> {
        self.inner.commit().await.map_err(StoreError::Statement)
    }
}

fn bind<'q>(sql: &'q str, values: &[Value]) -> Query<'q, Any, AnyArguments> {
    let mut query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    for value in values {
        query = match value {
            Value::Text(text) => query.bind(text.clone()),
            Value::Integer(number) => query.bind(*number),
            Value::Real(number) => query.bind(*number),
            Value::Bytes(bytes) => query.bind(bytes.clone()),
            Value::Null => query.bind(None::<String>),
        };
    }
    query
}
