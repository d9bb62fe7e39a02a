//! What was called, how much of it, and how much may be.

use domain::mcp::{McpCall, McpLimit, McpUsage};

use crate::v1;

impl From<&McpCall> for v1::McpCall {
    fn from(value: &McpCall) -> Self {
        let McpCall { server, tool, started_at_ms, duration_ms, error } = value.clone();
        Self { server, tool, started_at_ms, duration_ms, error }
    }
}

impl From<v1::McpCall> for McpCall {
    fn from(raw: v1::McpCall) -> Self {
        let v1::McpCall { server, tool, started_at_ms, duration_ms, error } = raw;
        Self { server, tool, started_at_ms, duration_ms, error }
    }
}

impl From<&McpUsage> for v1::McpUsage {
    fn from(value: &McpUsage) -> Self {
        let McpUsage { user, server, day, calls, failed, timed_out, total_ms } = value.clone();
        Self { user, server, day, calls, failed, timed_out, total_ms }
    }
}

impl From<v1::McpUsage> for McpUsage {
    fn from(raw: v1::McpUsage) -> Self {
        let v1::McpUsage { user, server, day, calls, failed, timed_out, total_ms } = raw;
        Self { user, server, day, calls, failed, timed_out, total_ms }
    }
}

impl From<&McpLimit> for v1::McpLimit {
    fn from(value: &McpLimit) -> Self {
        let McpLimit { user, server, tool, per_minute, per_hour, per_day } = value.clone();
        Self { user, server, tool, per_minute, per_hour, per_day }
    }
}

impl From<v1::McpLimit> for McpLimit {
    fn from(raw: v1::McpLimit) -> Self {
        let v1::McpLimit { user, server, tool, per_minute, per_hour, per_day } = raw;
        Self { user, server, tool, per_minute, per_hour, per_day }
    }
}
