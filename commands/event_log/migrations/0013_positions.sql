-- Whoever reads the log reads from position 1. An event before it would be met by nobody but the
-- command that reads its stream. Rows that stand there already are for `owl audit verify` to name.
ALTER TABLE owl_log.events
    ADD CONSTRAINT events_from_one CHECK (notification_id > 0) NOT VALID;
