ALTER TABLE mcp_oauth_tokens ADD COLUMN renewing TEXT NOT NULL DEFAULT ''
--
ALTER TABLE mcp_oauth_tokens ADD COLUMN renewing_until BIGINT NOT NULL DEFAULT 0
