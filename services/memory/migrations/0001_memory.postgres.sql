CREATE TABLE projects (
    id TEXT PRIMARY KEY, owner_id TEXT NOT NULL, name TEXT NOT NULL,
    created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
)
--
CREATE UNIQUE INDEX projects_owner_name ON projects (owner_id, name)
--
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, project_id TEXT NOT NULL REFERENCES projects (id), user_id TEXT NOT NULL,
    context_id TEXT NOT NULL DEFAULT 'default', title TEXT, archived INTEGER NOT NULL DEFAULT 0,
    started_at BIGINT NOT NULL, last_activity_at BIGINT NOT NULL, previous_session_id TEXT,
    context_snapshot TEXT, session_summary TEXT, generation BIGINT NOT NULL DEFAULT 0
)
--
CREATE INDEX sessions_context ON sessions (context_id, generation, last_activity_at)
--
CREATE TABLE messages (
    id TEXT PRIMARY KEY, session_id TEXT NOT NULL REFERENCES sessions (id), user_id TEXT NOT NULL,
    role TEXT NOT NULL, name TEXT NOT NULL, content TEXT NOT NULL, created_at BIGINT NOT NULL,
    turn_id TEXT NOT NULL, kind TEXT NOT NULL, position BIGINT NOT NULL
)
--
CREATE INDEX messages_session ON messages (session_id, position)
--
CREATE TABLE facts (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL, content TEXT NOT NULL, created_at BIGINT NOT NULL
)
--
CREATE INDEX facts_user ON facts (user_id, created_at)
--
CREATE INDEX facts_text ON facts USING GIN (to_tsvector('english', content))
