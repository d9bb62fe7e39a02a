CREATE TABLE journals_to_purge (
    turn_id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL, erased_at BIGINT NOT NULL
)
