-- Wrong tries, counted where every process counts them and a restart forgets none.

CREATE TABLE owl_private.throttles (
    kind text NOT NULL,
    subject uuid NOT NULL,
    failures integer NOT NULL,
    total integer NOT NULL,
    began_at timestamptz NOT NULL,
    failed_at timestamptz NOT NULL,
    closed_until timestamptz,
    CONSTRAINT throttles_key PRIMARY KEY (kind, subject)
) WITH (fillfactor = 50);
CREATE INDEX throttles_failed_at ON owl_private.throttles (failed_at);
COMMENT ON TABLE owl_private.throttles IS
    'subjects are ids and keyed digests: neither addresses nor accounts can be read from it';
COMMENT ON COLUMN owl_private.throttles.total IS 'failures since the last right try';

-- Of these keys the one that is closed for longest; null when all are open.
CREATE FUNCTION owl_private.closed_key(kinds text[], subjects uuid[], moment timestamptz)
RETURNS owl_private.throttles LANGUAGE sql STABLE AS $$
    SELECT throttle
    FROM unnest(kinds, subjects) AS key (kind, subject)
    JOIN owl_private.throttles AS throttle USING (kind, subject)
    WHERE throttle.closed_until > moment
    ORDER BY throttle.closed_until DESC LIMIT 1
$$;

-- A wrong try. Null: it is counted on every key. Else one of them is closed, and nothing is
-- counted. Tries on the same key are judged one after another, so no more than
-- `most` of them are ever answered; the keys come in one order, so nobody waits in a circle.
--
-- A rule says when failures are forgotten and for how long a key closes:
--   window   forgotten and open again when `within_s` have passed since the first
--   quiet    forgotten when `within_s` have passed since the last; closed as long
--   doubling as quiet, but closed for 1 s, 2 s, 4 s … up to `within_s`
CREATE FUNCTION owl_private.count_wrong_try(
    kinds text[], subjects uuid[], most integer[], within_s integer[], rules text[],
    moment timestamptz
) RETURNS owl_private.throttles LANGUAGE plpgsql AS $$
DECLARE
    known owl_private.throttles%ROWTYPE;
    closed owl_private.throttles;
    length interval;
BEGIN
    INSERT INTO owl_private.throttles (kind, subject, failures, total, began_at, failed_at)
    SELECT kind, subject, 0, 0, moment, moment
    FROM unnest(kinds, subjects) WITH ORDINALITY AS key (kind, subject, nth) ORDER BY nth
    ON CONFLICT DO NOTHING;
    FOR nth IN 1 .. cardinality(kinds) LOOP
        PERFORM 1 FROM owl_private.throttles
        WHERE kind = kinds[nth] AND subject = subjects[nth] FOR UPDATE;
    END LOOP;
    closed := owl_private.closed_key(kinds, subjects, moment);
    IF closed.kind IS NOT NULL THEN
        RETURN closed;
    END IF;
    FOR nth IN 1 .. cardinality(kinds) LOOP
        SELECT * INTO STRICT known FROM owl_private.throttles
        WHERE kind = kinds[nth] AND subject = subjects[nth];
        length := make_interval(secs => within_s[nth]);
        IF moment >= length + (CASE rules[nth] WHEN 'window' THEN known.began_at
            ELSE greatest(known.failed_at, known.closed_until) END)
        THEN
            known.failures := 0;
            known.began_at := moment;
        END IF;
        known.failures := known.failures + 1;
        UPDATE owl_private.throttles SET
            failures = known.failures,
            total = known.total + 1,
            began_at = known.began_at,
            failed_at = moment,
            closed_until = CASE WHEN known.failures >= most[nth] THEN
                CASE rules[nth]
                    WHEN 'window' THEN known.began_at + length
                    WHEN 'quiet' THEN moment + length
                    WHEN 'doubling' THEN moment + least(length,
                        make_interval(secs => 2 ^ least(20, known.failures - most[nth])))
                END
            END
        WHERE kind = kinds[nth] AND subject = subjects[nth];
    END LOOP;
    RETURN NULL;
END
$$;

-- A right login. Null: it may go on, and what the pair of account and address had failed is
-- forgotten, of the account's failures as well (NIST SP 800-63B, 5.2.2). Else: what is closed.
CREATE FUNCTION owl_private.judge_right_login(
    kinds text[], subjects uuid[], moment timestamptz
) RETURNS owl_private.throttles LANGUAGE plpgsql AS $$
DECLARE
    closed owl_private.throttles := owl_private.closed_key(kinds, subjects, moment);
    forgiven integer;
BEGIN
    IF closed.kind IS NOT NULL THEN
        RETURN closed;
    END IF;
    DELETE FROM owl_private.throttles
    WHERE (kind, subject) IN (
        SELECT kind, subject FROM unnest(kinds, subjects) AS key (kind, subject)
        WHERE kind = 'login.pair'
    )
    RETURNING total INTO forgiven;
    IF FOUND THEN
        UPDATE owl_private.throttles SET
            failures = greatest(0, failures - forgiven), total = greatest(0, total - forgiven)
        WHERE (kind, subject) IN (
            SELECT kind, subject FROM unnest(kinds, subjects) AS key (kind, subject)
            WHERE kind = 'login.account'
        );
    END IF;
    RETURN NULL;
END
$$;

-- A code that somebody wants to redeem. Null: go on. Else: what is closed. Whether there is
-- such a code is looked up in the same statement, so that asking and counting are one thing.
CREATE FUNCTION owl_private.judge_code(
    code uuid, kinds text[], subjects uuid[], most integer[], within_s integer[], rules text[],
    moment timestamptz
) RETURNS owl_private.throttles LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM owl_log.events WHERE originator_id = code) THEN
        RETURN owl_private.closed_key(kinds, subjects, moment);
    END IF;
    RETURN owl_private.count_wrong_try(kinds, subjects, most, within_s, rules, moment);
END
$$;
