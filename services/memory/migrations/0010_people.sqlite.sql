CREATE TABLE platform_links (
    prefixed_user_id TEXT PRIMARY KEY, canonical_user_id TEXT NOT NULL, linked_at BIGINT NOT NULL
)
--
CREATE INDEX platform_links_person ON platform_links (canonical_user_id)
--
CREATE TABLE link_requests (prefixed_user_id TEXT PRIMARY KEY, wanted TEXT NOT NULL, asked_at BIGINT NOT NULL)
--
CREATE TRIGGER memory_relations_updated AFTER UPDATE ON memory_relations BEGIN
    INSERT INTO mirror_queue (store, id, stamp) SELECT store, NEW.memory_id, RANDOM() FROM mirrors WHERE store = 'relations'
        ON CONFLICT (store, id) DO UPDATE SET stamp = RANDOM();
END
--
CREATE TABLE imported (id TEXT PRIMARY KEY)
