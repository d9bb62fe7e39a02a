//! What people have installed.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use domain::mcp::Launch;
use serde::{Deserialize, Serialize};
use store::{Database, Row, StoreError, Value};

use crate::mcp::Offered;
use crate::ports::{DatabaseError, Installations, Installed, Key};

const COLUMNS: &str = "user_id, name, source_url, launch, enabled, hot_reload, may_sample, tools, approved, last_error, installed_by, installed_at, restarts, \
                       personal";

/// How a server is reached, as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored {
    Stdio { command: Vec<String>, env: BTreeMap<String, String> },
    Http { url: String, headers: BTreeMap<String, String> },
}

/// Which rows are a server's ($1 and $2): its own and, of everybody's, those of people who have
/// authorised it for themselves.
const SHARED: &str = "name = $2 AND (user_id = $1 OR ($1 = '' AND personal <> 0))";

pub(crate) struct SqlInstallations {
    database: Database,
}

impl SqlInstallations {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
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
        Ok(as_they_are(rows.iter().map(installed).collect::<Result<_, _>>()?))
    }

    async fn find(&self, key: &Key) -> Result<Option<Installed>, DatabaseError> {
        let sql = format!("SELECT {COLUMNS} FROM mcp_servers WHERE user_id IN ('', $1) AND name = $2");
        let rows = self.database.fetch(&sql, &of(key)).await?;
        let known = as_they_are(rows.iter().map(installed).collect::<Result<_, _>>()?);
        Ok(known.into_iter().find(|known| known.key == *key))
    }

    async fn offered(&self, name: &str) -> Result<Vec<Offered>, DatabaseError> {
        let sql = format!("SELECT {COLUMNS} FROM mcp_servers WHERE {SHARED} ORDER BY user_id");
        let rows = self.database.fetch(&sql, &["".into(), name.into()]).await?;
        let rows = rows.iter().map(installed).collect::<Result<Vec<_>, _>>()?;
        Ok(distinct(rows.into_iter().flat_map(|row| row.tools)))
    }

    async fn add(&self, new: &Installed) -> Result<bool, DatabaseError> {
        let sql = "INSERT INTO mcp_servers (user_id, name, server_type, source_url, launch, enabled, tools, \
                   tool_count, approved, installed_by, installed_at, personal) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (user_id, name) DO NOTHING";
        let values = [
            new.key.owner.as_str().into(),
            new.key.name.as_str().into(),
            kind(&new.launch).into(),
            new.source.as_str().into(),
            stored(&new.launch),
            i64::from(new.is_enabled).into(),
            json(&new.tools),
            i64::try_from(new.tools.len()).unwrap_or(i64::MAX).into(),
            json(&new.approved),
            new.installed_by.as_str().into(),
            new.installed_at_ms.into(),
            i64::from(new.is_personal).into(),
        ];
        Ok(self.database.execute(sql, &values).await? > 0)
    }

    async fn replace(&self, new: &Installed, before: &Launch) -> Result<bool, DatabaseError> {
        let sql = "UPDATE mcp_servers SET server_type = $3, source_url = $4, launch = $5, enabled = $6, tools = $7, \
                   tool_count = $8, approved = $9, last_error = $10, may_sample = 0 \
                   WHERE user_id = $1 AND name = $2 AND launch = $11";
        let [owner, name] = of(&new.key);
        let values = [
            owner,
            name,
            kind(&new.launch).into(),
            new.source.as_str().into(),
            stored(&new.launch),
            i64::from(new.is_enabled).into(),
            json(&new.tools),
            i64::try_from(new.tools.len()).unwrap_or(i64::MAX).into(),
            json(&new.approved),
            new.last_error.as_str().into(),
            stored(before),
        ];
        Ok(self.database.execute(sql, &values).await? > 0)
    }

    async fn remove_parts(&self, name: &str) -> Result<(), DatabaseError> {
        let sql = "DELETE FROM mcp_servers WHERE name = $1 AND personal <> 0";
        self.database.execute(sql, &[name.into()]).await?;
        Ok(())
    }

    async fn remove(&self, key: &Key) -> Result<bool, DatabaseError> {
        let sql = format!("DELETE FROM mcp_servers WHERE {SHARED}");
        Ok(self.database.execute(&sql, &of(key)).await? > 0)
    }

    async fn enable(&self, key: &Key, is_enabled: bool) -> Result<bool, DatabaseError> {
        self.set_flag("enabled", key, is_enabled).await
    }

    async fn set_tools(&self, key: &Key, launch: &Launch, tools: &[Offered]) -> Result<(), DatabaseError> {
        let [owner, name] = of(key);
        let count = i64::try_from(tools.len()).unwrap_or(i64::MAX);
        // One that was installed anew under the same name is another.
        let sql = "UPDATE mcp_servers SET tools = $3, tool_count = $4, last_error = '' \
                   WHERE user_id = $1 AND name = $2 AND (launch = $5 OR personal <> 0)";
        self.database.execute(sql, &[owner, name, json(&tools), count.into(), stored(launch)]).await?;
        Ok(())
    }

    async fn approve(&self, key: &Key, hashes: &BTreeSet<String>) -> Result<bool, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        transaction.lock("mcp_servers").await?;
        let sql = format!("SELECT {COLUMNS} FROM mcp_servers WHERE {SHARED}");
        let rows = transaction.fetch(&sql, &of(key)).await?;
        let rows = rows.iter().map(installed).collect::<Result<Vec<_>, _>>()?;
        let Some(before) = rows.iter().find(|row| row.key == *key).map(|row| row.approved.clone()) else {
            return Ok(false);
        };
        // What is not offered any more has to be agreed to again when it comes back.
        let mut approved: BTreeSet<String> = rows.iter().flat_map(|row| &row.tools).map(Offered::hash).collect();
        approved.retain(|hash| before.contains(hash) || hashes.contains(hash));
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
}

fn kind(launch: &Launch) -> &'static str {
    match launch {
        Launch::Stdio { .. } => "stdio",
        Launch::Http { .. } => "streamable_http",
    }
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

/// Rows as the servers that they stand for: where somebody has authorised everybody's for
/// themselves, that is what everybody's is.
fn as_they_are(rows: Vec<Installed>) -> Vec<Installed> {
    let everybodys = |name: &str| rows.iter().find(|row| row.key.owner.is_empty() && row.key.name == name);
    let known = rows.iter().filter_map(|row| match row.is_personal {
        true => everybodys(&row.key.name).map(|all| row.as_part_of(all)),
        false => Some(row.clone()),
    });
    known.collect()
}

/// Each of them once.
fn distinct(tools: impl Iterator<Item = Offered>) -> Vec<Offered> {
    let mut hashes = BTreeSet::new();
    tools.filter(|tool| hashes.insert(tool.hash())).collect()
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
        is_personal: row.integer("personal")? != 0,
    })
}
