CREATE INDEX mcp_tool_calls_user ON mcp_tool_calls (user_id, started_at)
