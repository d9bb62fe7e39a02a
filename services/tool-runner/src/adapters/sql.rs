//! The database of tools, on SQLite and PostgreSQL: its schema, and who reads and writes it.

mod calls; // What was called.
mod installed; // What people have installed.
mod rate_limits; // How much people may call.

use store::{Database, Migration, StoreError, migration};

pub(crate) use self::calls::SqlCalls;
pub(crate) use self::installed::SqlInstallations;
pub(crate) use self::rate_limits::SqlRateLimits;

const MIGRATIONS: &[Migration] = &[
    migration!(1, "mcp", "0001_mcp"),
    migration!(2, "hot_reload", "0002_hot_reload"),
    migration!(3, "oauth", "0003_oauth"),
    migration!(4, "subagents", "0004_subagents"),
    migration!(5, "calls_of_users", "0005_calls"),
    migration!(6, "sampling", "0006_sampling"),
    migration!(7, "processes", "0007_processes"),
    migration!(8, "tool_subset", "0008_tool_subset"),
    migration!(9, "restarts", "0009_restarts"),
    migration!(10, "renewals", "0010_renewals"),
    migration!(11, "personal", "0011_personal"),
    migration!(12, "rate_limits", "0012_rate_limits"),
];

/// Brings the database to this build's schema. Other services may have tables in it too.
pub(crate) async fn prepare(database: &Database) -> Result<(), StoreError> {
    database.migrate_as("tools", MIGRATIONS).await
}
