ALTER TABLE sessions ADD COLUMN audience TEXT NOT NULL DEFAULT 'direct'
--
CREATE INDEX sessions_user ON sessions (user_id, audience)
--
CREATE TABLE message_vectors (
    message_id TEXT PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE, model TEXT NOT NULL,
    vector BYTEA NOT NULL, tokens BYTEA
)
--
CREATE TABLE messages_to_embed (
    message_id TEXT PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE, position BIGINT NOT NULL
)
--
CREATE TABLE passage_changes (
    scope TEXT PRIMARY KEY, said BIGINT NOT NULL DEFAULT 0, embedded BIGINT NOT NULL DEFAULT 0,
    erased BIGINT NOT NULL DEFAULT 0
)
