ALTER TABLE memories ADD COLUMN project TEXT NOT NULL DEFAULT ''
--
CREATE INDEX memories_project ON memories (user_id, project)
--
CREATE TABLE conversation_projects (
    context_id TEXT NOT NULL, user_id TEXT NOT NULL, since BIGINT NOT NULL, project TEXT NOT NULL,
    PRIMARY KEY (context_id, user_id, since)
)
--
CREATE INDEX conversation_projects_user ON conversation_projects (user_id)
