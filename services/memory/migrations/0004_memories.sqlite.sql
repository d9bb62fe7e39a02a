CREATE TABLE memories (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL, content TEXT NOT NULL, category TEXT NOT NULL DEFAULT '',
    is_key BIGINT NOT NULL DEFAULT 0, visibility TEXT NOT NULL DEFAULT 'private', origin TEXT NOT NULL DEFAULT 'asked',
    confidence BIGINT NOT NULL DEFAULT 100, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
    position BIGINT NOT NULL, superseded_by TEXT
)
--
CREATE INDEX memories_user ON memories (user_id, position)
--
CREATE INDEX memories_key ON memories (user_id, is_key, position)
--
INSERT INTO memories (id, user_id, content, created_at, updated_at, position)
    SELECT id, user_id, content, created_at, created_at, created_at * 1000 FROM facts
--
DROP TABLE facts_text
--
DROP TABLE facts
--
CREATE TABLE memory_sources (
    memory_id TEXT NOT NULL REFERENCES memories (id) ON DELETE CASCADE, message_id TEXT NOT NULL,
    PRIMARY KEY (memory_id, message_id)
)
--
CREATE TABLE memory_dynamics (
    memory_id TEXT PRIMARY KEY REFERENCES memories (id) ON DELETE CASCADE, user_id TEXT NOT NULL,
    stability DOUBLE PRECISION NOT NULL, difficulty DOUBLE PRECISION NOT NULL,
    retrieval_strength DOUBLE PRECISION NOT NULL, storage_strength DOUBLE PRECISION NOT NULL,
    last_accessed_at BIGINT NOT NULL, access_count BIGINT NOT NULL
)
--
INSERT INTO memory_dynamics (memory_id, user_id, stability, difficulty, retrieval_strength, storage_strength, last_accessed_at, access_count)
    SELECT id, user_id, 1, 5, 1, 0.5, created_at, 0 FROM memories
--
CREATE TABLE memory_history (
    id TEXT PRIMARY KEY, memory_id TEXT NOT NULL REFERENCES memories (id) ON DELETE CASCADE, user_id TEXT NOT NULL,
    event TEXT NOT NULL, old_memory TEXT NOT NULL, new_memory TEXT NOT NULL, actor_id TEXT NOT NULL,
    reason TEXT NOT NULL, created_at BIGINT NOT NULL, undone BIGINT NOT NULL DEFAULT 0
)
--
CREATE INDEX memory_history_memory ON memory_history (memory_id, created_at)
--
CREATE TABLE memory_vectors (
    memory_id TEXT PRIMARY KEY REFERENCES memories (id) ON DELETE CASCADE, model TEXT NOT NULL,
    vector BLOB NOT NULL, tokens BLOB
)
--
CREATE TABLE turns_to_learn (
    turn_id TEXT PRIMARY KEY, position BIGINT NOT NULL, tries BIGINT NOT NULL DEFAULT 0,
    claimed_by TEXT NOT NULL DEFAULT '', claimed_until BIGINT NOT NULL DEFAULT 0
)
--
CREATE TABLE erased_turns (
    turn_id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL, erased_at BIGINT NOT NULL, purged BIGINT NOT NULL DEFAULT 0
)
--
CREATE TABLE erased_people (user_id TEXT PRIMARY KEY, position BIGINT NOT NULL)
