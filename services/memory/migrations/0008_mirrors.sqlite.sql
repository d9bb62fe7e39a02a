CREATE TABLE mirrors (
    store TEXT PRIMARY KEY, target TEXT NOT NULL, holder TEXT NOT NULL DEFAULT '', held_until BIGINT NOT NULL DEFAULT 0
)
--
CREATE TABLE mirror_queue (store TEXT NOT NULL, id TEXT NOT NULL, stamp BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (store, id))
--
CREATE TRIGGER memory_vectors_inserted AFTER INSERT ON memory_vectors BEGIN
    INSERT INTO mirror_queue (store, id, stamp) SELECT store, NEW.memory_id, RANDOM() FROM mirrors WHERE store = 'vectors'
        ON CONFLICT (store, id) DO UPDATE SET stamp = RANDOM();
END
--
CREATE TRIGGER memory_vectors_updated AFTER UPDATE ON memory_vectors BEGIN
    INSERT INTO mirror_queue (store, id, stamp) SELECT store, NEW.memory_id, RANDOM() FROM mirrors WHERE store = 'vectors'
        ON CONFLICT (store, id) DO UPDATE SET stamp = RANDOM();
END
--
CREATE TRIGGER memory_vectors_deleted AFTER DELETE ON memory_vectors BEGIN
    INSERT INTO mirror_queue (store, id, stamp) SELECT store, OLD.memory_id, RANDOM() FROM mirrors WHERE store = 'vectors'
        ON CONFLICT (store, id) DO UPDATE SET stamp = RANDOM();
END
--
CREATE TRIGGER message_vectors_inserted AFTER INSERT ON message_vectors BEGIN
    INSERT INTO mirror_queue (store, id, stamp) SELECT store, NEW.message_id, RANDOM() FROM mirrors WHERE store = 'vectors'
        ON CONFLICT (store, id) DO UPDATE SET stamp = RANDOM();
END
--
CREATE TRIGGER message_vectors_updated AFTER UPDATE ON message_vectors BEGIN
    INSERT INTO mirror_queue (store, id, stamp) SELECT store, NEW.message_id, RANDOM() FROM mirrors WHERE store = 'vectors'
        ON CONFLICT (store, id) DO UPDATE SET stamp = RANDOM();
END
--
CREATE TRIGGER message_vectors_deleted AFTER DELETE ON message_vectors BEGIN
    INSERT INTO mirror_queue (store, id, stamp) SELECT store, OLD.message_id, RANDOM() FROM mirrors WHERE store = 'vectors'
        ON CONFLICT (store, id) DO UPDATE SET stamp = RANDOM();
END
--
CREATE TRIGGER memory_relations_inserted AFTER INSERT ON memory_relations BEGIN
    INSERT INTO mirror_queue (store, id, stamp) SELECT store, NEW.memory_id, RANDOM() FROM mirrors WHERE store = 'relations'
        ON CONFLICT (store, id) DO UPDATE SET stamp = RANDOM();
END
--
CREATE TRIGGER memory_relations_deleted AFTER DELETE ON memory_relations BEGIN
    INSERT INTO mirror_queue (store, id, stamp) SELECT store, OLD.memory_id, RANDOM() FROM mirrors WHERE store = 'relations'
        ON CONFLICT (store, id) DO UPDATE SET stamp = RANDOM();
END
--
CREATE TRIGGER memories_superseded AFTER UPDATE OF superseded_by ON memories BEGIN
    INSERT INTO mirror_queue (store, id, stamp) SELECT store, NEW.id, RANDOM() FROM mirrors WHERE 1 = 1
        ON CONFLICT (store, id) DO UPDATE SET stamp = RANDOM();
END
