-- What was redeemed by whom. One row a redemption, never changed.

CREATE TABLE recharge_records (
    record_id   uuid        NOT NULL,
    user_id     uuid        NOT NULL,
    code_id     uuid        NOT NULL,
    amount_fen  bigint      NOT NULL CHECK (amount_fen > 0),
    redeemed_at timestamptz NOT NULL,
    position    bigint      NOT NULL
);

CREATE TABLE recharge_counts (
    user_id uuid   NOT NULL PRIMARY KEY,
    n       bigint NOT NULL
) WITH (fillfactor = 70);

-- after the rows

ALTER TABLE recharge_records ADD PRIMARY KEY (record_id);
CREATE INDEX recharge_records_of_user ON recharge_records (user_id, position);
