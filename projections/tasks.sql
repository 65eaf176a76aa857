-- Every task as it is now, and how many there are of each kind. One row a task, deleted ones too.

-- What lists go by comes first: to make an index, each row is taken apart as far as that.
CREATE TABLE tasks (
    task_id                uuid        NOT NULL PRIMARY KEY,
    user_id                uuid        NOT NULL,
    priority               bigint      NOT NULL,
    created_at             timestamptz NOT NULL,
    updated_at             timestamptz NOT NULL,
    queued_at              timestamptz NOT NULL,
    status                 text        NOT NULL
        CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    phase                  text        NOT NULL
        CHECK (phase IN ('pending', 'assigned', 'running', 'cancelling',
                         'completed', 'failed', 'cancelled', 'deleted')),
    task_type              text        NOT NULL,
    deleted_at             timestamptz,
    server_id              uuid,
    title                  text        NOT NULL,
    description            text        NOT NULL,
    estimated_duration_min bigint,
    config                 jsonb       NOT NULL,
    price_fen_per_minute   bigint      NOT NULL CHECK (price_fen_per_minute >= 0),
    hold_fen               bigint      NOT NULL CHECK (hold_fen >= 0),
    timeout_s              bigint      NOT NULL,
    reason                 text,
    progress               float8      NOT NULL CHECK (progress BETWEEN 0 AND 100),
    attempt                bigint      NOT NULL CHECK (attempt >= 1),
    attempts               jsonb       NOT NULL,
    gpu_uuids              jsonb       NOT NULL,
    cost_fen               bigint      NOT NULL CHECK (cost_fen >= 0),
    result                 jsonb       NOT NULL,
    error_message          text        NOT NULL,
    artifacts              jsonb       NOT NULL,
    started_at             timestamptz,
    cancel_requested_at    timestamptz,
    completed_at           timestamptz,
    CHECK ((phase = 'deleted') = (deleted_at IS NOT NULL))
);

CREATE TABLE task_counts (
    user_id    uuid    NOT NULL,
    status     text    NOT NULL,
    task_type  text    NOT NULL,
    is_deleted boolean NOT NULL,
    n          bigint  NOT NULL,
    PRIMARY KEY (user_id, status, task_type, is_deleted)
) WITH (fillfactor = 50);

CREATE TABLE task_totals (
    status     text    NOT NULL,
    task_type  text    NOT NULL,
    is_deleted boolean NOT NULL,
    n          bigint  NOT NULL,
    PRIMARY KEY (status, task_type, is_deleted)
) WITH (fillfactor = 10);  -- a handful of rows that every batch rewrites

-- after the rows

-- A list is asked for by any filters in any order. Its counters say which kinds of task match
-- (``task_lists``), and each kind has its tasks in each order: so no page reads what it does not
-- show, however rare it is. Fewer indexes than filters and orders: each costs every write.
CREATE INDEX tasks_of_user_by_created
    ON tasks (user_id, status, task_type, created_at, task_id) WHERE deleted_at IS NULL;
CREATE INDEX tasks_of_user_by_updated
    ON tasks (user_id, status, task_type, updated_at, task_id) WHERE deleted_at IS NULL;
CREATE INDEX tasks_of_user_by_priority
    ON tasks (user_id, status, task_type, priority, task_id) WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_created ON tasks (status, task_type, created_at, task_id)
    WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_updated ON tasks (status, task_type, updated_at, task_id)
    WHERE deleted_at IS NULL;
CREATE INDEX tasks_by_priority ON tasks (status, task_type, priority, task_id)
    WHERE deleted_at IS NULL;

-- the list as it is asked for most, and paged deepest: all of it in the usual order
CREATE INDEX tasks_of_user ON tasks (user_id, created_at, task_id) WHERE deleted_at IS NULL;
CREATE INDEX tasks_created ON tasks (created_at, task_id) WHERE deleted_at IS NULL;

-- what is alive: small however long the history
CREATE INDEX tasks_waiting ON tasks (priority DESC, queued_at, task_id)
    WHERE phase = 'pending';
CREATE INDEX tasks_on_server ON tasks (server_id)
    WHERE phase IN ('assigned', 'running', 'cancelling');
