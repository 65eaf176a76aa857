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

ALTER TABLE task_events ADD PRIMARY KEY (position);
CREATE INDEX task_events_of_task ON task_events (task_id, recorded_at, position);
