CREATE TABLE platform_links (
    prefixed_user_id TEXT PRIMARY KEY, canonical_user_id TEXT NOT NULL, linked_at BIGINT NOT NULL
)
--
CREATE INDEX platform_links_person ON platform_links (canonical_user_id)
--
CREATE TABLE link_requests (prefixed_user_id TEXT PRIMARY KEY, wanted TEXT NOT NULL, asked_at BIGINT NOT NULL)
--
CREATE TRIGGER memory_relations_updated AFTER UPDATE ON memory_relations
    FOR EACH ROW EXECUTE FUNCTION queue_mirror('relations', 'memory_id')
--
CREATE TABLE imported (id TEXT PRIMARY KEY)
