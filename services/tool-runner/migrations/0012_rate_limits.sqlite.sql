CREATE TABLE mcp_rate_limits (
    user_id TEXT NOT NULL, server_name TEXT NOT NULL, tool_name TEXT NOT NULL, per_minute BIGINT NOT NULL,
    per_hour BIGINT NOT NULL, per_day BIGINT NOT NULL,
    PRIMARY KEY (user_id, server_name, tool_name)
)
