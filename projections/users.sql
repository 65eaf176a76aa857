-- What a user sees of themselves: profile, money, totals. One row a user.

CREATE TABLE users (
    user_id        uuid        NOT NULL,
    email          text        NOT NULL,
    username       text        NOT NULL,
    full_name      text        NOT NULL,
    role           text        NOT NULL CHECK (role IN ('user', 'admin', 'super_admin', 'auditor')),
    is_active      boolean     NOT NULL,
    balance_fen    bigint      NOT NULL,
    held_fen       bigint      NOT NULL CHECK (held_fen >= 0),
    total_tasks    bigint      NOT NULL CHECK (total_tasks >= 0),
    total_cost_fen bigint      NOT NULL CHECK (total_cost_fen >= 0),
    last_task_at   timestamptz,
    created_at     timestamptz NOT NULL,
    last_login_at  timestamptz,
    CHECK (balance_fen >= held_fen)
) WITH (fillfactor = 70);  -- a balance changes often: room for the new version on its page

-- after the rows

ALTER TABLE users ADD PRIMARY KEY (user_id);
