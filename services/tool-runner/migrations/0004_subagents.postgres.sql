CREATE TABLE subagents (
    parent TEXT NOT NULL, id TEXT NOT NULL, conversation TEXT NOT NULL, message TEXT NOT NULL, started_at BIGINT NOT NULL,
    PRIMARY KEY (parent, id)
)
--
CREATE INDEX subagents_conversation ON subagents (conversation)
