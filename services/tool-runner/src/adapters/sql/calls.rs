//! Calls of servers, as they are counted and kept.

use async_trait::async_trait;
use domain::mcp::{McpCall, McpUsage};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use store::{Database, Row, StoreError, Value};

use crate::ports::{CallLimit, Called, Calls, DatabaseError, RUNNING};

/// How long calls are kept: 30 days.
const KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1000;

pub(crate) struct SqlCalls {
    database: Database,
}

impl SqlCalls {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Calls for SqlCalls {
    async fn begin_call(&self, called: &Called, limits: &[CallLimit]) -> Result<Option<usize>, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        transaction.lock(&format!("mcp_tool_calls/{}", called.user)).await?;
        for (index, CallLimit { most, since_ms, server, tool }) in limits.iter().enumerate() {
            // The same call again is one.
            let sql = "SELECT COUNT(*) AS n FROM mcp_tool_calls WHERE user_id = $1 AND started_at >= $2 \
                       AND request_id <> $3 AND ($4 = '' OR server_name = $4) AND ($5 = '' OR tool_name = $5)";
            let values = [
                called.user.as_str().into(),
                (*since_ms).into(),
                called.call.as_str().into(),
                server.as_str().into(),
                tool.as_str().into(),
            ];
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
        let (owner, name) = (called.key.owner.as_str().into(), called.key.name.as_str().into());
        transaction.execute(sql, &[owner, name, called.started_at_ms.into()]).await?;
        let sql = "DELETE FROM mcp_tool_calls WHERE started_at < $1";
        transaction.execute(sql, &[called.started_at_ms.saturating_sub(KEPT_MS).into()]).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn made(&self, by: &str, limit: u32) -> Result<Vec<McpCall>, DatabaseError> {
        let sql = "SELECT server_name, tool_name, started_at, duration_ms, error_type FROM mcp_tool_calls \
                   WHERE user_id = $1 ORDER BY started_at DESC, request_id LIMIT $2";
        let rows = self.database.fetch(sql, &[by.into(), i64::from(limit).into()]).await?;
        Ok(rows.iter().map(made).collect::<Result<_, _>>()?)
    }

    async fn usage(&self, by: Option<&str>, limit: u32) -> Result<Vec<McpUsage>, DatabaseError> {
        let sql = "SELECT user_id, server_name, date, call_count, success_count, error_count, timeout_count, \
                   total_duration_ms FROM mcp_usage_metrics WHERE $1 = '' OR user_id = $1 \
                   ORDER BY date DESC, user_id, server_name LIMIT $2";
        let rows = self.database.fetch(sql, &[by.unwrap_or_default().into(), i64::from(limit).into()]).await?;
        Ok(rows.iter().map(usage).collect::<Result<_, _>>()?)
    }
}

fn made(row: &Row) -> Result<McpCall, StoreError> {
    Ok(McpCall {
        server: row.text("server_name")?,
        tool: row.text("tool_name")?,
        started_at_ms: row.integer("started_at")?,
        duration_ms: row.integer("duration_ms")?,
        error: row.text("error_type")?,
    })
}

fn usage(row: &Row) -> Result<McpUsage, StoreError> {
    let count = |column: &str| Ok(u64::try_from(row.integer(column)?).unwrap_or_default());
    Ok(McpUsage {
        user: row.text("user_id")?,
        server: row.text("server_name")?,
        day: row.text("date")?,
        calls: count("call_count")?,
        failed: count("error_count")?,
        timed_out: count("timeout_count")?,
        total_ms: count("total_duration_ms")?,
    })
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
