-- What tasks wrote, in the chunks in which their agents sent it. One row a chunk.

CREATE TABLE task_output (
    task_id     uuid        NOT NULL,
    attempt     bigint      NOT NULL,
    sequence    bigint      NOT NULL,
    position    bigint      NOT NULL,
    version     bigint      NOT NULL,
    server_id   uuid        NOT NULL,
    recorded_at timestamptz NOT NULL,
    line_count  bigint      NOT NULL,
    lines       jsonb       NOT NULL,
    PRIMARY KEY (task_id, attempt, sequence)
);

CREATE TABLE task_output_lines (
    task_id uuid   NOT NULL PRIMARY KEY,
    n       bigint NOT NULL
) WITH (fillfactor = 70);

-- after the rows

-- with how many lines each has: where a page of a long log begins is told by this alone
CREATE INDEX task_output_in_time ON task_output (task_id, recorded_at, position)
    INCLUDE (line_count);
