-- The keys of the configuration that queries go by. One row, or none while nothing was changed.

CREATE TABLE configuration (
    stream          uuid   NOT NULL PRIMARY KEY,
    offline_after_s bigint NOT NULL
);

-- after the rows
