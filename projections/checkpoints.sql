-- Where each generation of each read model stands in its log. Idempotent: run at every start.

CREATE SCHEMA IF NOT EXISTS owl_read;
CREATE SCHEMA IF NOT EXISTS read;

CREATE TABLE IF NOT EXISTS owl_read.checkpoints (
    read_model  text        NOT NULL,
    generation  bigint      NOT NULL CHECK (generation >= 1),
    source      text        NOT NULL CHECK (source IN ('business', 'telemetry')),
    fingerprint text        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('building', 'live', 'kept')),
    position    bigint      NOT NULL CHECK (position >= 0),
    stopped_at  bigint,               -- the event that could not be projected
    error       text,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (read_model, generation),
    CHECK ((stopped_at IS NULL) = (error IS NULL))
) WITH (fillfactor = 10);  -- rewritten by every batch: stay on the page

CREATE UNIQUE INDEX IF NOT EXISTS checkpoints_one_live
    ON owl_read.checkpoints (read_model) WHERE state = 'live';

-- Moves all named checkpoints from one position to another, or fails and with it the whole
-- transaction: another runner was faster, or a switch changed what is live. That it raises and
-- does not merely answer lets rows and checkpoints travel to the server in one round trip.
CREATE OR REPLACE FUNCTION owl_read.advance(
    read_models text[], generations bigint[], states text[], expected bigint, reached bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moved bigint;
BEGIN
    UPDATE owl_read.checkpoints AS mine SET position = reached, updated_at = now()
    FROM unnest(read_models, generations, states) AS wanted (read_model, generation, state)
    WHERE mine.read_model = wanted.read_model AND mine.generation = wanted.generation
        AND mine.state = wanted.state AND mine.position = expected AND mine.stopped_at IS NULL;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> cardinality(read_models) THEN
        RAISE EXCEPTION 'another runner has moved the checkpoint' USING ERRCODE = 'OW101';
    END IF;
END
$$;

-- What is being built, or was last: one row a read model. Its position is the checkpoint's.
CREATE TABLE IF NOT EXISTS owl_read.rebuilds (
    read_model    text             PRIMARY KEY,
    generation    bigint           NOT NULL,
    fingerprint   text             NOT NULL DEFAULT '',  -- of the folds that it builds by
    step          text             NOT NULL CHECK (step IN (
        'asked', 'folding', 'indexing', 'comparing', 'switching',
        'ready', 'differs', 'paused', 'switched', 'cancelled', 'failed')),
    wish          text             CHECK (wish IN ('pause', 'cancel')),
    switching     text             NOT NULL CHECK (switching IN ('auto', 'manual')),
    max_load      float8           NOT NULL CHECK (max_load > 0 AND max_load <= 1),
    workers       int              NOT NULL DEFAULT 1 CHECK (workers BETWEEN 1 AND 16),
    indexed       boolean          NOT NULL DEFAULT false,
    ordered       boolean          NOT NULL DEFAULT false,  -- over the API: a worker sees to it
    began_from    bigint           NOT NULL,  -- where the process that is at work took it up
    upto          bigint           NOT NULL,
    began_at      timestamptz      NOT NULL DEFAULT now(),
    updated_at    timestamptz      NOT NULL DEFAULT now(),
    error         text
) WITH (fillfactor = 10);

DO $$
BEGIN  -- asked first: the change itself would wait for everybody who reads the table
    IF NOT EXISTS (SELECT FROM pg_attribute
        WHERE attrelid = 'owl_read.rebuilds'::regclass AND attname = 'workers') THEN
        ALTER TABLE owl_read.rebuilds ADD COLUMN workers int NOT NULL DEFAULT 1
            CHECK (workers BETWEEN 1 AND 16);
    END IF;
    IF NOT EXISTS (SELECT FROM pg_attribute
        WHERE attrelid = 'owl_read.rebuilds'::regclass AND attname = 'ordered') THEN
        ALTER TABLE owl_read.rebuilds ADD COLUMN ordered boolean NOT NULL DEFAULT false;
    END IF;
END
$$;

-- How the last comparison of each read model ended; no row of it, which may be about a person.
CREATE TABLE IF NOT EXISTS owl_read.comparisons (
    read_model  text        PRIMARY KEY,
    found       jsonb       NOT NULL,
    compared_at timestamptz NOT NULL DEFAULT now()
);

-- What administrators have ordered over the API, the newest two hundred; it is in the log as well.
CREATE TABLE IF NOT EXISTS owl_read.orders (
    position   bigint      PRIMARY KEY,  -- of the event that is the order
    read_model text        NOT NULL,
    act        text        NOT NULL,
    asked_by   text        NOT NULL,
    asked_at   timestamptz NOT NULL,
    state      text        NOT NULL CHECK (state IN
        ('at work', 'done', 'refused', 'expired', 'interrupted')),
    told       text        NOT NULL DEFAULT '',
    told_zh    text        NOT NULL DEFAULT '',
    ended_at   timestamptz
);

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute
        WHERE attrelid = 'owl_read.orders'::regclass AND attname = 'told_zh') THEN
        ALTER TABLE owl_read.orders ADD COLUMN told_zh text NOT NULL DEFAULT '';
    END IF;
END
$$;

-- In which order folds came: those of an earlier version are never built again by themselves.
CREATE SEQUENCE IF NOT EXISTS owl_read.version_order;
CREATE TABLE IF NOT EXISTS owl_read.versions (
    read_model  text   NOT NULL,
    fingerprint text   NOT NULL,
    number      bigint NOT NULL DEFAULT nextval('owl_read.version_order'),
    PRIMARY KEY (read_model, fingerprint)
);
