-- What a user sees of themselves: profile, money, totals. One row a user.

CREATE TABLE users (
    user_id        uuid        NOT NULL PRIMARY KEY,
    email          text        NOT NULL,
    username       text        NOT NULL,
    full_name      text        NOT NULL,
    role           text        NOT NULL CHECK (role IN ('user', 'admin', 'super_admin', 'auditor')),
    is_active      boolean     NOT NULL,
    balance_fen    bigint      NOT NULL,
    held_fen       bigint      NOT NULL CHECK (held_fen >= 0),
    recharged_fen  bigint      NOT NULL CHECK (recharged_fen >= 0),
    granted_fen    bigint      NOT NULL,
    total_tasks    bigint      NOT NULL CHECK (total_tasks >= 0),
    total_cost_fen bigint      NOT NULL CHECK (total_cost_fen >= 0),
    last_task_at   timestamptz,
    created_at     timestamptz NOT NULL,
    last_login_at  timestamptz,
    CHECK (balance_fen >= held_fen),
    CHECK (balance_fen = recharged_fen + granted_fen - total_cost_fen)
) WITH (fillfactor = 70);  -- a balance changes often: room for the new version on its page
-- the planner keeps what it samples: of who somebody is, that would outlive their erasure
ALTER TABLE users
    ALTER email SET STATISTICS 0, ALTER username SET STATISTICS 0, ALTER full_name SET STATISTICS 0;

-- How many users there are, and what they brought in, were given and spent.
CREATE TABLE user_totals (
    role      text    NOT NULL,
    is_active boolean NOT NULL,
    n         bigint  NOT NULL,
    PRIMARY KEY (role, is_active)
) WITH (fillfactor = 10);
CREATE TABLE recharged_totals (LIKE user_totals INCLUDING ALL) WITH (fillfactor = 10);
CREATE TABLE granted_totals (LIKE user_totals INCLUDING ALL) WITH (fillfactor = 10);
CREATE TABLE spent_totals (LIKE user_totals INCLUDING ALL) WITH (fillfactor = 10);

-- after the rows

-- an administrator's list, the newest first: of all, and of each standing (``user_lists``)
CREATE INDEX users_created ON users (created_at, user_id);
CREATE INDEX users_by_standing ON users (role, is_active, created_at, user_id);
