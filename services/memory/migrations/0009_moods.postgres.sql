CREATE TABLE emotional_contexts (
    session_id TEXT PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE, user_id TEXT NOT NULL,
    course TEXT NOT NULL, average DOUBLE PRECISION NOT NULL, felt_at BIGINT NOT NULL
)
--
CREATE INDEX emotional_contexts_user ON emotional_contexts (user_id, felt_at)
--
CREATE TABLE topic_mentions (
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, user_id TEXT NOT NULL,
    topic_key TEXT NOT NULL, name TEXT NOT NULL, topic_type TEXT NOT NULL, weight TEXT NOT NULL,
    mentioned_at BIGINT NOT NULL, PRIMARY KEY (session_id, topic_key)
)
--
CREATE INDEX topic_mentions_user ON topic_mentions (user_id, mentioned_at)
