-- All that one request led to, found without reading the log: for each 64 pages a Bloom filter of
-- the correlation ids in them. An append writes nothing into it (a pair of interleaved runs:
-- 0.9995 of the rate without it, a B-tree 0.87, a hash index 0.92); the server takes in filled
-- pages by itself once a minute. The position is in it so that the planner knows how few pages
-- it leads to, whatever order the ids have.
CREATE INDEX events_request ON owl_log.events
    USING brin (notification_id, correlation_id text_bloom_ops)
    WITH (pages_per_range = 64, autosummarize = on);
