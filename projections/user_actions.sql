-- What people did: one row an event that a person caused, never changed. The log has the event.

CREATE TABLE user_actions (
    position    bigint      NOT NULL,
    actor_id    uuid        NOT NULL,
    subject_id  uuid        NOT NULL,
    recorded_at timestamptz NOT NULL
);

CREATE TABLE action_counts (
    day date   NOT NULL PRIMARY KEY,
    n   bigint NOT NULL
) WITH (fillfactor = 20);  -- today's row is rewritten by every batch

CREATE TABLE actor_action_counts (
    actor_id uuid   NOT NULL,
    day      date   NOT NULL,
    n        bigint NOT NULL,
    PRIMARY KEY (actor_id, day)
) WITH (fillfactor = 50);

-- of all days together, which is asked for most: an account's days are as many as it is old
CREATE TABLE actor_action_totals (
    actor_id uuid   NOT NULL PRIMARY KEY,
    n        bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE subject_action_counts (
    subject_id uuid   NOT NULL,
    day        date   NOT NULL,
    n          bigint NOT NULL,
    PRIMARY KEY (subject_id, day)
) WITH (fillfactor = 50);

-- after the rows

-- a row is found by both: nobody asks for a position alone
ALTER TABLE user_actions ADD PRIMARY KEY (recorded_at, position);
CREATE INDEX user_actions_of_actor ON user_actions (actor_id, recorded_at, position);
CREATE INDEX user_actions_about ON user_actions (subject_id, recorded_at, position)
    WHERE subject_id <> '00000000-0000-0000-0000-000000000000';
