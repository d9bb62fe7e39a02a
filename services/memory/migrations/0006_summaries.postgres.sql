ALTER TABLE sessions ADD COLUMN summarized_to BIGINT NOT NULL DEFAULT 0
--
CREATE TABLE sessions_to_summarize (
    session_id TEXT PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE, due_at BIGINT NOT NULL,
    messages BIGINT NOT NULL, claimed_until BIGINT NOT NULL DEFAULT 0, tries BIGINT NOT NULL DEFAULT 0
)
