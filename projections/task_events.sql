-- Where other streams tell of a task: one row an event, never changed. What it says is in the log.

CREATE TABLE task_events (
    position bigint NOT NULL,
    task_id  uuid   NOT NULL
);

-- after the rows

-- one index, which has all that there is
ALTER TABLE task_events ADD PRIMARY KEY (task_id, position);
