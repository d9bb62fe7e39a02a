CREATE TABLE mcp_servers (
    user_id TEXT NOT NULL, name TEXT NOT NULL, server_type TEXT NOT NULL, source_url TEXT NOT NULL, launch TEXT NOT NULL,
    enabled BIGINT NOT NULL, tools TEXT NOT NULL, approved TEXT NOT NULL, tool_count BIGINT NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT '', total_tool_calls BIGINT NOT NULL DEFAULT 0, last_used_at BIGINT NOT NULL DEFAULT 0,
    installed_by TEXT NOT NULL, installed_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, name)
)
--
CREATE TABLE mcp_tool_calls (
    request_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, server_owner TEXT NOT NULL, server_name TEXT NOT NULL,
    tool_name TEXT NOT NULL, started_at BIGINT NOT NULL, duration_ms BIGINT NOT NULL, success BIGINT NOT NULL,
    error_type TEXT NOT NULL DEFAULT ''
)
--
CREATE INDEX mcp_tool_calls_time ON mcp_tool_calls (started_at)
--
CREATE TABLE mcp_usage_metrics (
    user_id TEXT NOT NULL, server_name TEXT NOT NULL, date TEXT NOT NULL, call_count BIGINT NOT NULL DEFAULT 0,
    success_count BIGINT NOT NULL DEFAULT 0, error_count BIGINT NOT NULL DEFAULT 0, timeout_count BIGINT NOT NULL DEFAULT 0,
    total_duration_ms BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, server_name, date)
)
