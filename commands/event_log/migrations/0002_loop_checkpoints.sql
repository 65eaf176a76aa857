-- Where the loops have got to. Everything in it may be lost: a loop then reads the log again.

CREATE TABLE owl_log.loop_checkpoints (
    name text PRIMARY KEY,
    position bigint NOT NULL CHECK (position >= 0),
    state bytea NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
