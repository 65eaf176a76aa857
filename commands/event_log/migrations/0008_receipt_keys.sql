-- A receipt is found by the key that a client gave; the command behind it has an id of its own.
-- So a key that was forgotten after its day may be used again, and then means another command.

DROP TABLE owl_private.receipts;  -- they live for a day, and their keys were made otherwise
CREATE TABLE owl_private.receipts (
    key_id uuid CONSTRAINT receipts_key PRIMARY KEY,
    command_id uuid NOT NULL CONSTRAINT receipts_command UNIQUE,
    request_digest bytea NOT NULL,
    result bytea NOT NULL,
    position bigint NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX receipts_recorded_at ON owl_private.receipts (recorded_at);
