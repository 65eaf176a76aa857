-- On which pages a day of the log is, for a few bytes per hundred pages. An append writes nothing
-- into it: the server takes in filled pages by itself once a minute, and looks into those that
-- it has not taken in.
CREATE INDEX events_in_time ON owl_log.events USING brin (recorded_at)
    WITH (pages_per_range = 64, autosummarize = on);
