-- What happened to each task, as lines of its log. One row an event, never changed.

CREATE TABLE task_events (
    position    bigint      NOT NULL,
    task_id     uuid        NOT NULL,
    stream      uuid        NOT NULL,
    version     bigint      NOT NULL,
    tag         text        NOT NULL,
    level       text        NOT NULL CHECK (level IN ('INFO', 'WARNING', 'ERROR')),
    attempt     bigint      NOT NULL,
    actor       text        NOT NULL,
    recorded_at timestamptz NOT NULL,
    data        jsonb       NOT NULL
);

-- after the rows

-- one index: the table gets a row for nearly every event, and one task has few of them
ALTER TABLE task_events ADD PRIMARY KEY (task_id, position);
-- but for a block-range index, which is a few bytes for a hundred pages: rows come in order
CREATE INDEX task_events_in_time ON task_events USING brin (recorded_at, position)
    WITH (pages_per_range = 16, autosummarize = on);
