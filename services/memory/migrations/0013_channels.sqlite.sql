CREATE TABLE channel_summaries (
    channel_id TEXT NOT NULL, generation BIGINT NOT NULL, summary TEXT NOT NULL,
    summary_cutoff_at BIGINT NOT NULL, last_updated_at BIGINT NOT NULL,
    PRIMARY KEY (channel_id, generation)
)
--
CREATE TABLE channels_to_summarize (
    channel_id TEXT NOT NULL, generation BIGINT NOT NULL,
    claimed_until BIGINT NOT NULL DEFAULT 0, tries BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (channel_id, generation)
)
