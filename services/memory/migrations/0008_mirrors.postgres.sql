CREATE TABLE mirrors (
    store TEXT PRIMARY KEY, target TEXT NOT NULL, holder TEXT NOT NULL DEFAULT '', held_until BIGINT NOT NULL DEFAULT 0
)
--
CREATE TABLE mirror_queue (store TEXT NOT NULL, id TEXT NOT NULL, stamp BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (store, id))
--
CREATE FUNCTION queue_mirror() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE changed RECORD; of_row TEXT;
BEGIN
    IF TG_OP = 'DELETE' THEN changed := OLD; ELSE changed := NEW; END IF;
    IF TG_ARGV[1] = 'id' THEN of_row := changed.id;
    ELSIF TG_ARGV[1] = 'message_id' THEN of_row := changed.message_id;
    ELSE of_row := changed.memory_id; END IF;
    INSERT INTO mirror_queue (store, id, stamp) SELECT store, of_row, CAST(random() * 9e15 AS BIGINT) FROM mirrors WHERE TG_ARGV[0] IN (store, 'all')
        ON CONFLICT (store, id) DO UPDATE SET stamp = CAST(random() * 9e15 AS BIGINT);
    RETURN NULL;
END $$
--
CREATE TRIGGER memory_vectors_changed AFTER INSERT OR UPDATE OR DELETE ON memory_vectors
    FOR EACH ROW EXECUTE FUNCTION queue_mirror('vectors', 'memory_id')
--
CREATE TRIGGER message_vectors_changed AFTER INSERT OR UPDATE OR DELETE ON message_vectors
    FOR EACH ROW EXECUTE FUNCTION queue_mirror('vectors', 'message_id')
--
CREATE TRIGGER memory_relations_changed AFTER INSERT OR DELETE ON memory_relations
    FOR EACH ROW EXECUTE FUNCTION queue_mirror('relations', 'memory_id')
--
CREATE TRIGGER memories_superseded AFTER UPDATE OF superseded_by ON memories
    FOR EACH ROW EXECUTE FUNCTION queue_mirror('all', 'id')
