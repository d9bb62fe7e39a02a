ALTER TABLE messages ADD COLUMN attachments TEXT
--
CREATE TABLE files_to_purge (context_id TEXT NOT NULL, file_id TEXT NOT NULL, PRIMARY KEY (context_id, file_id))
