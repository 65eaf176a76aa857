-- The two logs, the leases that fence commits, and the rows that must never enter an event.
-- Column names of both logs are those of the `eventsourcing` library, whose selects read them.

CREATE SCHEMA owl_private;

-- ── The business log: for ever, append-only ────────────────────────────────────────────────

CREATE TABLE owl_log.events (
    notification_id bigint NOT NULL,
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL CHECK (originator_version > 0),
    topic text NOT NULL,
    state bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    command_id uuid NOT NULL,
    correlation_id text NOT NULL,
    causation_id bigint,
    CONSTRAINT events_position PRIMARY KEY (notification_id),
    CONSTRAINT events_stream UNIQUE (originator_id, originator_version)
);
CREATE INDEX events_command ON owl_log.events (command_id);
COMMENT ON COLUMN owl_log.events.notification_id IS 'position: gapless, in commit order';

CREATE FUNCTION owl_log.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON owl_log.events
    FOR EACH STATEMENT EXECUTE FUNCTION owl_log.refuse_change();

-- What a commit read and did not write must still be so. Called under the append lock, or alone
-- when nothing is appended: then one statement's snapshot is enough.
CREATE FUNCTION owl_log.require_heads(streams uuid[], versions bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moved uuid;
BEGIN
    SELECT expected.stream INTO moved
    FROM unnest(streams, versions) AS expected(stream, version)
    WHERE expected.version <> coalesce(
        (SELECT max(e.originator_version) FROM owl_log.events e
         WHERE e.originator_id = expected.stream), 0)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'stream % moved on', moved USING ERRCODE = 'serialization_failure';
    END IF;
END
$$;

-- ── Leases ─────────────────────────────────────────────────────────────────────────────────

CREATE TABLE owl_log.leases (
    name text PRIMARY KEY,
    holder text,
    epoch bigint NOT NULL CHECK (epoch > 0),
    expires_at timestamptz NOT NULL
);
COMMENT ON COLUMN owl_log.leases.holder IS 'null: released';

-- The row stays locked until the commit, so a taking-over comes before it or after it, never
-- beside it. Time is not asked: an overdue lease that nobody took still orders its commits.
CREATE FUNCTION owl_log.require_lease(lease text, held_epoch bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM owl_log.leases
    WHERE name = lease AND epoch = held_epoch AND holder IS NOT NULL FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lease % is not held at epoch %', lease, held_epoch
            USING ERRCODE = 'OW001', DETAIL = held_epoch || ' ' || lease;
    END IF;
END
$$;

-- ── Beside the log ─────────────────────────────────────────────────────────────────────────

CREATE TABLE owl_private.credentials (
    user_id uuid PRIMARY KEY,
    email_claim uuid NOT NULL CONSTRAINT credentials_email_claim UNIQUE,
    password_hash text NOT NULL,
    token_version bigint NOT NULL,
    role text NOT NULL,
    is_active boolean NOT NULL
);

CREATE TABLE owl_private.subject_keys (
    user_id uuid PRIMARY KEY,
    key bytea NOT NULL
);
COMMENT ON TABLE owl_private.subject_keys IS
    'personal fields are readable while their user has a row here; the key itself is sealed';

CREATE TABLE owl_private.receipts (
    command_id uuid CONSTRAINT receipts_command PRIMARY KEY,
    request_digest bytea NOT NULL,
    result bytea NOT NULL,
    position bigint NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX receipts_recorded_at ON owl_private.receipts (recorded_at);

-- ── The telemetry log: kept for days, a partition a day ────────────────────────────────────

CREATE TABLE owl_log.telemetry (
    notification_id bigint NOT NULL,
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    command_id uuid NOT NULL,
    correlation_id text NOT NULL,
    causation_id bigint,
    CONSTRAINT telemetry_position PRIMARY KEY (notification_id, recorded_at)
) PARTITION BY RANGE (recorded_at);
CREATE INDEX telemetry_stream ON owl_log.telemetry (originator_id, notification_id);
COMMENT ON COLUMN owl_log.telemetry.originator_version IS 'the position: nothing expects one';

-- The library's tracking table. Row `positions` is the highest position ever given, so that
-- dropping old partitions never makes positions start again.
CREATE TABLE owl_log.telemetry_tracking (
    application_name text PRIMARY KEY,
    notification_id bigint NOT NULL
);
INSERT INTO owl_log.telemetry_tracking VALUES ('positions', 0);

CREATE FUNCTION owl_log.ensure_telemetry_partitions(first_day date, days integer)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    day date;
BEGIN
    PERFORM pg_advisory_xact_lock(7305068, 4);
    FOR day IN SELECT first_day + n FROM generate_series(0, days - 1) AS n LOOP
        IF to_regclass('owl_log.telemetry_' || to_char(day, 'YYYYMMDD')) IS NULL THEN
            EXECUTE format(
                'CREATE TABLE owl_log.%I PARTITION OF owl_log.telemetry'
                ' FOR VALUES FROM (%L) TO (%L)',
                'telemetry_' || to_char(day, 'YYYYMMDD'),
                day || ' 00:00:00+00', day + 1 || ' 00:00:00+00'
            );
        END IF;
    END LOOP;
END
$$;

-- ── For auditors ───────────────────────────────────────────────────────────────────────────

-- A NUL is legal in JSON text and not in jsonb: shown as the replacement character.
CREATE FUNCTION owl_log.readable(state bytea) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT replace(convert_from(state, 'UTF8'), '\u0000', '\ufffd')::jsonb
$$;

CREATE VIEW owl_log.story AS
SELECT
    notification_id AS position,
    originator_id AS stream,
    originator_version AS version,
    topic AS tag,
    recorded_at,
    actor,
    command_id,
    correlation_id,
    causation_id,
    owl_log.readable(state) AS fact
FROM owl_log.events;
