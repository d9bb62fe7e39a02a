CREATE TABLE memory_relations (
    memory_id TEXT NOT NULL REFERENCES memories (id) ON DELETE CASCADE, user_id TEXT NOT NULL,
    subject TEXT NOT NULL, predicate TEXT NOT NULL, object TEXT NOT NULL,
    PRIMARY KEY (memory_id, subject, predicate, object)
)
--
CREATE INDEX memory_relations_user ON memory_relations (user_id)
