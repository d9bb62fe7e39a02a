//! How many calls of servers people may make, as administrators have set it.

use async_trait::async_trait;
use domain::mcp::McpLimit;
use store::{Database, Row, StoreError, Value};

use crate::ports::{DatabaseError, RateLimits};

pub(crate) struct SqlRateLimits {
    database: Database,
}

impl SqlRateLimits {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl RateLimits for SqlRateLimits {
    async fn all(&self) -> Result<Vec<McpLimit>, DatabaseError> {
        let sql = format!("SELECT {COLUMNS} FROM mcp_rate_limits ORDER BY user_id, server_name, tool_name");
        let rows = self.database.fetch(&sql, &[]).await?;
        Ok(rows.iter().map(limit).collect::<Result<_, _>>()?)
    }

    async fn set(&self, limit: &McpLimit, most: usize) -> Result<bool, DatabaseError> {
        let mut transaction = self.database.begin().await?;
        transaction.lock("mcp_rate_limits").await?;
        transaction.execute(DROP, &of(&limit.user, &limit.server, &limit.tool)).await?;
        let rows = transaction.fetch("SELECT COUNT(*) AS n FROM mcp_rate_limits", &[]).await?;
        let known = rows.first().map_or(Ok(0), |row| row.integer("n"))?;
        if usize::try_from(known).unwrap_or(usize::MAX) >= most {
            return Ok(false);
        }
        let sql = format!("INSERT INTO mcp_rate_limits ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)");
        let [user, server, tool] = of(&limit.user, &limit.server, &limit.tool);
        let [minute, hour, day] = [limit.per_minute, limit.per_hour, limit.per_day]
            .map(|calls| Value::Integer(i64::try_from(calls).unwrap_or(i64::MAX)));
        transaction.execute(&sql, &[user, server, tool, minute, hour, day]).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn remove(&self, user: &str, server: &str, tool: &str) -> Result<bool, DatabaseError> {
        Ok(self.database.execute(DROP, &of(user, server, tool)).await? > 0)
    }
}

const COLUMNS: &str = "user_id, server_name, tool_name, per_minute, per_hour, per_day";
const DROP: &str = "DELETE FROM mcp_rate_limits WHERE user_id = $1 AND server_name = $2 AND tool_name = $3";

fn of(user: &str, server: &str, tool: &str) -> [Value; 3] {
    [user.into(), server.into(), tool.into()]
}

fn limit(row: &Row) -> Result<McpLimit, StoreError> {
    let calls = |column: &str| Ok(u64::try_from(row.integer(column)?).unwrap_or_default());
    Ok(McpLimit {
        user: row.text("user_id")?,
        server: row.text("server_name")?,
        tool: row.text("tool_name")?,
        per_minute: calls("per_minute")?,
        per_hour: calls("per_hour")?,
        per_day: calls("per_day")?,
    })
}
