-- What the processes of the platform say about themselves: kept for some weeks, then gone.

CREATE TABLE owl_log.system_log (
    line_id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT system_log_line PRIMARY KEY,
    logged_at timestamptz NOT NULL,
    level text NOT NULL CHECK (level IN ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')),
    program text NOT NULL,
    logger text NOT NULL,
    event text NOT NULL,
    request_id text,
    message text NOT NULL,
    fields jsonb NOT NULL
);
CREATE INDEX system_log_time ON owl_log.system_log (logged_at, line_id);
CREATE INDEX system_log_level ON owl_log.system_log (level, logged_at, line_id);
COMMENT ON COLUMN owl_log.system_log.message IS 'the whole line as a person reads it';

-- Lines by UTC day and level, kept as they come and go: no page counts them.
CREATE TABLE owl_log.system_log_counts (
    day date NOT NULL,
    level text NOT NULL,
    n bigint NOT NULL,
    CONSTRAINT system_log_counts_key PRIMARY KEY (day, level)
) WITH (fillfactor = 20);

-- Where the server has the extension, searches for three letters or more go by an index; where
-- it has not, they read the lines. The answers are the same.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX system_log_search ON owl_log.system_log USING gin (message gin_trgm_ops);
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'pg_trgm is not to be had: % (%)', SQLERRM, SQLSTATE;
END
$$;
