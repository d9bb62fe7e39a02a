CREATE TABLE mcp_oauth_tokens (
    user_id TEXT NOT NULL, server_name TEXT NOT NULL, client TEXT NOT NULL DEFAULT '', flow TEXT NOT NULL DEFAULT '',
    credentials TEXT NOT NULL DEFAULT '', challenge TEXT NOT NULL DEFAULT '', pending TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (user_id, server_name)
)
