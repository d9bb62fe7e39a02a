//! What people have installed, and what was called, on SQLite and PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use domain::mcp::Launch;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use store::{Database, Migration, Row, StoreError, Value};

use crate::mcp::Offered;
use crate::ports::{CallLimit, Called, DatabaseError, Installations, Installed, Key, RUNNING};

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "mcp",
        sqlite: include_str!("../../migrations/0001_mcp.sqlite.sql"),
        postgres: include_str!("../../migrations/0001_mcp.postgres.sql"),
    },
    Migration {
        version: 2,
        name: "hot_reload",
        sqlite: include_str!("../../migrations/0002_hot_reload.sqlite.sql"),
        postgres: include_str!("../../migrations/0002_hot_reload.postgres.sql"),
    },
    Migration {
        version: 3,
        name: "oauth",
        sqlite: include_str!("../../migrations/0003_oauth.sqlite.sql"),
        postgres: include_str!("../../migrations/0003_oauth.postgres.sql"),
    },
    Migration {
        version: 4,
        name: "subagents",
        sqlite: include_str!("../../migrations/0004_subagents.sqlite.sql"),
        postgres: include_str!("../../migrations/0004_subagents.postgres.sql"),
    },
    Migration {
        version: 5,
        name: "calls_of_users",
        sqlite: include_str!("../../migrations/0005_calls.sqlite.sql"),
        postgres: include_str!("../../migrations/0005_calls.postgres.sql"),
    },
    Migration {
        version: 6,
        name: "sampling",
        sqlite: include_str!("../../migrations/0006_sampling.sqlite.sql"),
        postgres: include_str!("../../migrations/0006_sampling.postgres.sql"),
    },
    Migration {
        version: 7,
        name: "processes",
        sqlite: include_str!("../../migrations/0007_processes.sqlite.sql"),
        postgres: include_str!("../../migrations/0007_processes.postgres.sql"),
    },
    Migration {
        version: 8,
        name: "tool_subset",
        sqlite: include_str!("../../migrations/0008_tool_subset.sqlite.sql"),
        postgres: include_str!("../../migrations/0008_tool_subset.postgres.sql"),
    },
    Migration {
        version: 9,
        name: "restarts",
        sqlite: include_str!("../../migrations/0009_restarts.sqlite.sql"),
        postgres: include_str!("../../migrations/0009_restarts.postgres.sql"),
    },
    Migration {
        version: 10,
        name: "renewals",
        sqlite: include_str!("../../migrations/0010_renewals.sqlite.sql"),
        postgres: include_str!("../../migrations/0010_renewals.postgres.sql"),
    },
];

/// How long calls are kept: 30 days.
const KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1000;

const COLUMNS: &str = "user_id, name, source_url, launch, enabled, hot_reload, may_sample, tools, approved, last_error, installed_by, installed_at, restarts";

/// How a server is reached, as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored {
    Stdio { command: Vec<String>, env: BTreeMap<String, String> },
    Http { url: String, headers: BTreeMap<String, String> },
}

pub(crate) struct SqlInstallations {
    database: Database,
}

impl SqlInstallations {
    pub(crate) async fn prepare(database: Database) -> Result<Self, StoreError> {
        // Other services may have tables in the same database.
        database.migrate_as("tools", MIGRATIONS).await?;
        Ok(Self { database })
    }

    /// Sets a column of a server that is yes or no; whether there is such a server.
    async fn set_flag(&self, column: &str, key: &Key, is_set: bool) -> Result<bool, DatabaseError> {
        let [owner, name] = of(key);
        let sql = format!("UPDATE mcp_servers SET {column} = $3 WHERE user_id = $1 AND name = $2");
        Ok(self.database.execute(&sql, &[owner, name, i64::from(is_set).into()]).await? > 0)
    }
}

#[async_trait]
impl Installations for SqlInstallations {
    async fn of(&self, user: &str) -> Result<Vec<Installed>, DatabaseError> {
        let sql = format!("SELECT {COLUMNS} FROM mcp_servers WHERE user_id IN ('', $1) ORDER BY name, user_id");
        let rows = self.database.fetch(&sql, &[user.into()]).await?;
        Ok(rows.iter().map(installed).collect::<Result<_, _>>()?)
    }

    async fn find(&self, key: &Key) -> Result<Option<Installed>, DatabaseError> {
        let sql = format!("SELECT {COLUMNS} FROM mcp_servers WHERE user_id = $1 AND name = $2");
        let rows = self.database.fetch(&sql, &of(key)).await?;
        Ok(rows.first().map(installed).transpose()?)
    }

    async fn add(&self, new: &Installed) -> Result<bool, DatabaseError> {
        let kind = match new.launch {
            Launch::Stdio { .. } => "stdio",
            Launch::Http { .. } => "streamable_http",
        };
        let sql = "INSERT INTO mcp_servers (user_id, name, server_type, source_url, launch, enabled, tools, \
                   tool_count, approved, installed_by, installed_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (user_id, name) DO NOTHING";
        let values = [
            new.key.owner.as_str().into(),
            new.key.name.as_str().into(),
            kind.into(),
            new.source.as_str().into(),
            stored(&new.launch),
            i64::from(new.is_enabled).into(),
            json(&new.tools),
            i64::try_from(new.tools.len()).unwrap_or(i64::MAX).into(),
            json(&new.approved),
            new.installed_by.as_str().into(),
            new.installed_at_ms.into(),
        ];
        Ok(self.database.execute(sql, &values).await? > 0)
    }

    async fn remove(&self, key: &Key) -> Result<bool, DatabaseError> {
        let sql = "DELETE FROM mcp_servers WHERE user_id = $1 AND name = $2";
        Ok(self.database.execute(sql, &of(key)).await? > 0)
    }

    async fn enable(&self, key: &Key, is_enabled: bool) -> Result<bool, DatabaseError> {
        self.set_flag("enabled", key, is_enabled).await
    }

    async fn set_tools(&self, key: &Key, launch: &Launch, tools: &[Offered]) -> Result<(), DatabaseError> {
        let [owner, name] = of(key);
        let count = i64::try_from(tools.len()).unwrap_or(i64::MAX);
        // One that was installed anew under the same name is another.
        let sql = "UPDATE mcp_servers SET tools = $3, tool_count = $4, last_error = '' \
                   WHERE user_id = $1 AND name = $2 AND launch = $5";
        self.database.execute(sql, &[owner, name, json(&tools), count.into(), stored(launch)]).await?;
        Ok(())
    }

    async fn approve(&self, key: &Key, hashes: &BTreeSet<String>) -> Result<bool, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        transaction.lock("mcp_servers").await?;
        let sql = format!("SELECT {COLUMNS} FROM mcp_servers WHERE user_id = $1 AND name = $2");
        let Some(row) = transaction.fetch(&sql, &of(key)).await?.pop() else { return Ok(false) };
        let found = installed(&row)?;
        // What is not offered any more has to be agreed to again when it comes back.
        let mut approved: BTreeSet<String> = found.tools.iter().map(Offered::hash).collect();
        approved.retain(|hash| found.approved.contains(hash) || hashes.contains(hash));
        let [owner, name] = of(key);
        let sql = "UPDATE mcp_servers SET approved = $3 WHERE user_id = $1 AND name = $2";
        transaction.execute(sql, &[owner, name, json(&approved)]).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn set_may_sample(&self, key: &Key, is_allowed: bool) -> Result<bool, DatabaseError> {
        self.set_flag("may_sample", key, is_allowed).await
    }

    async fn restart(&self, key: &Key) -> Result<bool, DatabaseError> {
        let sql = "UPDATE mcp_servers SET restarts = restarts + 1 WHERE user_id = $1 AND name = $2";
        Ok(self.database.execute(sql, &of(key)).await? > 0)
    }

    async fn set_reloaded(&self, key: &Key, is_wanted: bool) -> Result<bool, DatabaseError> {
        self.set_flag("hot_reload", key, is_wanted).await
    }

    async fn reloaded(&self) -> Result<Vec<Installed>, DatabaseError> {
        let sql = format!("SELECT {COLUMNS} FROM mcp_servers WHERE hot_reload <> 0 ORDER BY name, user_id");
        let rows = self.database.fetch(&sql, &[]).await?;
        Ok(rows.iter().map(installed).collect::<Result<_, _>>()?)
    }

    async fn note_error(&self, key: &Key, why: &str) -> Result<(), DatabaseError> {
        let [owner, name] = of(key);
        let why = why[..why.floor_char_boundary(2000)].replace('\0', "");
        let sql = "UPDATE mcp_servers SET last_error = $3 WHERE user_id = $1 AND name = $2";
        self.database.execute(sql, &[owner, name, why.into()]).await?;
        Ok(())
    }

    async fn begin_call(&self, called: &Called, limits: &[CallLimit]) -> Result<Option<usize>, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        transaction.lock(&format!("mcp_tool_calls/{}", called.user)).await?;
        for (index, CallLimit { most, since_ms }) in limits.iter().enumerate() {
            // The same call again is one.
            let sql =
                "SELECT COUNT(*) AS n FROM mcp_tool_calls WHERE user_id = $1 AND started_at >= $2 AND request_id <> $3";
            let values = [called.user.as_str().into(), (*since_ms).into(), called.call.as_str().into()];
            let rows = transaction.fetch(sql, &values).await?;
            let made = rows.first().map_or(Ok(0), |row| row.integer("n"))?;
            if u64::try_from(made).unwrap_or(0) >= *most {
                return Ok(Some(index));
            }
        }
        let sql = format!("{CALLED} ON CONFLICT (request_id) DO NOTHING");
        transaction.execute(&sql, &call(called)).await?;
        transaction.commit().await?;
        Ok(None)
    }

    async fn note_call(&self, called: &Called) -> Result<(), DatabaseError> {
        let mut transaction = self.database.begin().await?;
        let failed = called.error.is_some();
        // Whoever notes it first notes it.
        let sql = format!(
            "{CALLED} ON CONFLICT (request_id) DO UPDATE SET duration_ms = $7, success = $8, error_type = $9 \
             WHERE mcp_tool_calls.error_type = '{RUNNING}'"
        );
        if transaction.execute(&sql, &call(called)).await? == 0 {
            return Ok(());
        }
        let sql = "INSERT INTO mcp_usage_metrics (user_id, server_name, date, call_count, success_count, error_count, \
                   timeout_count, total_duration_ms) VALUES ($1, $2, $3, 1, $4, $5, $6, $7) \
                   ON CONFLICT (user_id, server_name, date) DO UPDATE SET \
                   call_count = mcp_usage_metrics.call_count + 1, \
                   success_count = mcp_usage_metrics.success_count + $4, \
                   error_count = mcp_usage_metrics.error_count + $5, \
                   timeout_count = mcp_usage_metrics.timeout_count + $6, \
                   total_duration_ms = mcp_usage_metrics.total_duration_ms + $7";
        let day = Timestamp::from_millisecond(called.started_at_ms).unwrap_or_default().to_zoned(TimeZone::UTC).date();
        let timed_out = called.error == Some("timeout");
        let values = [
            called.user.as_str().into(),
            called.key.name.as_str().into(),
            day.to_string().into(),
            i64::from(!failed).into(),
            i64::from(failed).into(),
            i64::from(timed_out).into(),
            called.duration_ms.into(),
        ];
        transaction.execute(sql, &values).await?;
        let sql = "UPDATE mcp_servers SET total_tool_calls = total_tool_calls + 1, last_used_at = $3 \
                   WHERE user_id = $1 AND name = $2";
        let [owner, name] = of(&called.key);
        transaction.execute(sql, &[owner, name, called.started_at_ms.into()]).await?;
        let sql = "DELETE FROM mcp_tool_calls WHERE started_at < $1";
        transaction.execute(sql, &[called.started_at_ms.saturating_sub(KEPT_MS).into()]).await?;
        transaction.commit().await?;
        Ok(())
    }
}

const CALLED: &str = "INSERT INTO mcp_tool_calls (request_id, user_id, server_owner, server_name, tool_name, started_at, \
                      duration_ms, success, error_type) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

fn call(called: &Called) -> [Value; 9] {
    [
        called.call.as_str().into(),
        called.user.as_str().into(),
        called.key.owner.as_str().into(),
        called.key.name.as_str().into(),
        called.tool.as_str().into(),
        called.started_at_ms.into(),
        called.duration_ms.into(),
        i64::from(called.error.is_none()).into(),
        called.error.unwrap_or_default().into(),
    ]
}

fn of(key: &Key) -> [Value; 2] {
    [key.owner.as_str().into(), key.name.as_str().into()]
}

/// A value as JSON text. PostgreSQL stores no NUL in text, and JSON writes it otherwise.
fn json(value: &impl Serialize) -> Value {
    serde_json::to_string(value).unwrap_or_default().into()
}

/// Maps are ordered, so that one launch has one text.
fn stored(launch: &Launch) -> Value {
    json(&match launch.clone() {
        Launch::Stdio { command, env } => Stored::Stdio { command, env },
        Launch::Http { url, headers } => Stored::Http { url, headers },
    })
}

fn installed(row: &Row) -> Result<Installed, StoreError> {
    // What cannot be read is a server without anything: it says so when it is called.
    let launch = match serde_json::from_str(&row.text("launch")?) {
        Ok(Stored::Stdio { command, env }) => Launch::Stdio { command, env },
        Ok(Stored::Http { url, headers }) => Launch::Http { url, headers },
        Err(_) => Launch::Stdio { command: Vec::new(), env: BTreeMap::new() },
    };
    Ok(Installed {
        key: Key { owner: row.text("user_id")?, name: row.text("name")? },
        source: row.text("source_url")?,
        launch,
        is_enabled: row.integer("enabled")? != 0,
        is_reloaded: row.integer("hot_reload")? != 0,
        may_sample: row.integer("may_sample")? != 0,
        tools: serde_json::from_str(&row.text("tools")?).unwrap_or_default(),
        approved: serde_json::from_str(&row.text("approved")?).unwrap_or_default(),
        last_error: row.text("last_error")?,
        installed_by: row.text("installed_by")?,
        installed_at_ms: row.integer("installed_at")?,
        restarts: row.integer("restarts")?,
    })
}
