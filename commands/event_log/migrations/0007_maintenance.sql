-- Whether the platform is in maintenance, for whoever lets requests in: written in the commit
-- of the configuration's change, so it is never older than what an administrator was told.

CREATE TABLE owl_private.maintenance (
    is_the_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    is_on boolean NOT NULL
);
INSERT INTO owl_private.maintenance (is_on) VALUES (false);

-- For a log that was there before this table, or came from another database.
CREATE FUNCTION owl_private.recall_maintenance() RETURNS void LANGUAGE sql AS $$
    UPDATE owl_private.maintenance SET is_on = coalesce((
        SELECT (fact -> 'after' ->> 'maintenance_mode')::boolean FROM owl_log.story
        WHERE stream = '8f0c6f0e-6a39-5d0c-9a53-0b1f6c6d7a02'  -- the configuration
            AND fact -> 'after' ->> 'maintenance_mode' IS NOT NULL
        ORDER BY version DESC LIMIT 1), false)
$$;
SELECT owl_private.recall_maintenance();
