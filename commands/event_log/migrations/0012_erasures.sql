-- Who was erased since a position, however long the log is. It holds these few events alone: an
-- append of any other writes nothing into it.
CREATE INDEX events_of_erasures ON owl_log.events (notification_id)
    WHERE topic = 'accounts.user_erased/1';
