CREATE TABLE intentions (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL, content TEXT NOT NULL, trigger_conditions TEXT NOT NULL,
    priority BIGINT NOT NULL DEFAULT 0, fire_once BIGINT NOT NULL DEFAULT 1, fired BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL DEFAULT 0, fired_at BIGINT NOT NULL DEFAULT 0
)
--
CREATE INDEX intentions_user ON intentions (user_id, fired)
