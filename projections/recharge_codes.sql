-- Recharge codes, without the codes. One row a code.

CREATE TABLE recharge_codes (
    code_id      uuid        NOT NULL PRIMARY KEY,
    batch_id     uuid        NOT NULL,
    hint         text        NOT NULL,
    amount_fen   bigint      NOT NULL CHECK (amount_fen > 0),
    max_uses     bigint      NOT NULL CHECK (max_uses >= 1),
    used_count   bigint      NOT NULL CHECK (used_count BETWEEN 0 AND max_uses),
    expires_at   timestamptz,
    description  text        NOT NULL,
    state        text        NOT NULL CHECK (state IN ('open', 'used', 'revoked')),
    created_by   text        NOT NULL,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

-- an open code expires by the passing of time, which no event tells: open codes are counted by
-- the day on which they expire, and only those of the current day are looked at one by one
CREATE TABLE code_counts (
    state      text   NOT NULL,
    expires_on date   NOT NULL,  -- 9999-12-31: never, or of no more interest
    n          bigint NOT NULL,
    PRIMARY KEY (state, expires_on)
) WITH (fillfactor = 50);

-- after the rows

CREATE INDEX recharge_codes_created ON recharge_codes (created_at, code_id);
CREATE INDEX recharge_codes_state ON recharge_codes (state, created_at, code_id);
CREATE INDEX recharge_codes_open ON recharge_codes (expires_at, code_id) WHERE state = 'open';
-- those that can still be used, of each day on which some expire: expired ones are never passed
CREATE INDEX recharge_codes_usable ON recharge_codes (
    coalesce((expires_at AT TIME ZONE 'UTC')::date, DATE '9999-12-31'), created_at, code_id
) WHERE state = 'open';
