-- What the notary keeps: which log this is, the hashes of its tree, and what it has signed.

CREATE TABLE owl_log.identity (
    is_the_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    origin text NOT NULL CHECK (origin ~ '^[^\s+]+$')
);
COMMENT ON COLUMN owl_log.identity.origin IS
    'the name that checkpoints carry; kept when the log is carried to another database';
INSERT INTO owl_log.identity (origin) VALUES ('owl-factory/' || gen_random_uuid());

-- Up to 256 hashes of tree level 8 × level, side by side (C2SP tlog-tiles). Level 0 are the
-- leaves: what tells, event by event, which one was changed.
CREATE TABLE owl_log.tiles (
    level smallint NOT NULL CHECK (level >= 0),
    number bigint NOT NULL CHECK (number >= 0),
    hashes bytea NOT NULL CHECK (octet_length(hashes) BETWEEN 32 AND 8192
                                 AND octet_length(hashes) % 32 = 0),
    CONSTRAINT tiles_place PRIMARY KEY (level, number)
);
ALTER TABLE owl_log.tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;  -- hashes do not compress

CREATE TABLE owl_log.signed_checkpoints (
    size bigint CONSTRAINT signed_checkpoints_size PRIMARY KEY CHECK (size > 0),
    note text NOT NULL,
    signed_at timestamptz NOT NULL
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON owl_log.signed_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION owl_log.refuse_change();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON owl_log.tiles
    FOR EACH STATEMENT EXECUTE FUNCTION owl_log.refuse_change();

-- A tile only grows at its end.
CREATE TRIGGER only_grows BEFORE UPDATE ON owl_log.tiles FOR EACH ROW
    WHEN (NEW.level <> OLD.level OR NEW.number <> OLD.number
          OR substring(NEW.hashes FOR octet_length(OLD.hashes)) <> OLD.hashes)
    EXECUTE FUNCTION owl_log.refuse_change();
