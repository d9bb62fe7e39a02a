//! Bringing a database to this build's schema.
//!
//! All missing migrations run in one transaction under a lock, so that two
//! replicas that start together do it once, and a crash leaves the old schema.

use crate::{Database, Dialect, StoreError, Value};

/// One step of a schema. Versions count up from 1 and are never edited.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    pub version: i64,
    pub name: &'static str,
    /// Statements separated by lines that hold `--` alone.
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

/// A [`Migration`] by its version, its name, and the name of its two files in the crate's
/// `migrations`, without `.sqlite.sql` and `.postgres.sql`.
#[macro_export]
macro_rules! migration {
    ($version:literal, $name:literal, $file:literal) => {
        $crate::Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $file, ".sqlite.sql")),
            postgres: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $file, ".postgres.sql")),
        }
    };
}

pub(crate) async fn run(database: &Database, table: &str, migrations: &[Migration]) -> Result<(), StoreError> {
    let opened = |err: StoreError| match err {
        StoreError::Statement(err) => StoreError::Open {
            place: database.place.clone(),
            why: err.to_string(),
            remedy: "A damaged database must be restored from a backup or moved away",
        },
        other => other,
    };
    let mut transaction = database.begin().await.map_err(opened)?;
    transaction.lock("clara-migrations").await.map_err(opened)?;
    let create = format!("CREATE TABLE IF NOT EXISTS {table} (version BIGINT PRIMARY KEY, name TEXT NOT NULL)");
    transaction.execute(&create, &[]).await.map_err(opened)?;
    let newest = format!("SELECT COALESCE(MAX(version), 0) AS version FROM {table}");
    let rows = transaction.fetch(&newest, &[]).await?;
    let found = rows.first().map_or(Ok(0), |row| row.integer("version"))?;
    let known = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    if found > known {
        return Err(StoreError::Newer { place: database.place.clone(), found, known });
    }
    for migration in migrations.iter().filter(|migration| migration.version > found) {
        let sql = match database.dialect() {
            Dialect::Sqlite => migration.sqlite,
            Dialect::Postgres => migration.postgres,
        };
        for statement in sql.split("\n--\n").map(str::trim).filter(|statement| !statement.is_empty()) {
            transaction.execute(statement, &[]).await?;
        }
        let done = format!("INSERT INTO {table} (version, name) VALUES ($1, $2)");
        transaction.execute(&done, &[Value::Integer(migration.version), migration.name.into()]).await?;
        tracing::info!(version = migration.version, name = migration.name, "migrated the database");
    }
    transaction.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration = Migration {
        version: 1,
        name: "first",
        sqlite: "CREATE TABLE a (id TEXT)\n--\nCREATE TABLE b (id TEXT)",
        postgres: "",
    };
    const SECOND: Migration =
        Migration { version: 2, name: "second", sqlite: "CREATE TABLE c (id TEXT)", postgres: "" };

    #[tokio::test]
    async fn replicas_that_start_together_migrate_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.sqlite");
        let (one, two) = (Database::sqlite(&file).await.unwrap(), Database::sqlite(&file).await.unwrap());
        let (first, second) = tokio::join!(one.migrate(&[FIRST, SECOND]), two.migrate(&[FIRST, SECOND]));
        first.unwrap();
        second.unwrap();
        let rows = one.fetch("SELECT COUNT(*) AS n FROM schema_migrations", &[]).await.unwrap();
        assert_eq!(rows[0].integer("n").unwrap(), 2);
    }

    #[tokio::test]
    async fn database_of_a_newer_build_is_refused_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::sqlite(&folder.path().join("m.sqlite")).await.unwrap();
        database.migrate(&[FIRST, SECOND]).await.unwrap();
        let refused = database.migrate(&[FIRST]).await.unwrap_err().to_string();
        assert!(refused.contains("newer Clara"), "{refused}");
    }

    #[tokio::test]
    async fn damaged_file_is_named_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.sqlite");
        std::fs::write(&file, "this is not a database, whatever its name says".repeat(100)).unwrap();
        let refused = match Database::sqlite(&file).await {
            Ok(database) => database.migrate(&[FIRST]).await.unwrap_err(),
            Err(err) => err,
        };
        let text = refused.to_string();
        assert!(text.contains("m.sqlite") && text.contains("restored from a backup"), "{text}");
    }
}
