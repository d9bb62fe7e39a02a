CREATE TABLE sandbox_processes (
    owner TEXT NOT NULL, begun_by TEXT NOT NULL, name TEXT NOT NULL, command TEXT NOT NULL, started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL, ended TEXT NOT NULL, output TEXT NOT NULL, stop_wanted BIGINT NOT NULL,
    PRIMARY KEY (owner, begun_by)
)
