-- States of entities that were folded before, for auditors' questions. Everything in it may be
-- lost: a loop then folds the log again.

CREATE TABLE owl_private.snapshots (
    fold bytea NOT NULL,
    stream uuid NOT NULL,
    position bigint NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    state bytea NOT NULL,
    seal bytea NOT NULL,
    user_id uuid,
    CONSTRAINT snapshots_place PRIMARY KEY (fold, stream, position)
);
CREATE INDEX snapshots_user ON owl_private.snapshots (user_id) WHERE user_id IS NOT NULL;
COMMENT ON COLUMN owl_private.snapshots.user_id IS 'whom the state is about, if a user';

CREATE TABLE owl_private.snapshot_folds (
    fold bytea CONSTRAINT snapshot_folds_key PRIMARY KEY,
    name text NOT NULL,
    position bigint NOT NULL CHECK (position >= 0)
) WITH (fillfactor = 20);
COMMENT ON TABLE owl_private.snapshot_folds IS
    'by which rules, under which key, and how far the log was looked through';

-- Whatever destroys a user's key takes along what was kept of them, in the same commit.
CREATE FUNCTION owl_private.forget_snapshots() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM owl_private.snapshots WHERE user_id = OLD.user_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER forget_snapshots AFTER DELETE ON owl_private.subject_keys FOR EACH ROW
    EXECUTE FUNCTION owl_private.forget_snapshots();
