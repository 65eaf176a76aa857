-- The newest heartbeat of each server. One row a server, rewritten every few seconds:
-- only the key is indexed and pages are half empty, so that each update stays on its page (HOT).

CREATE TABLE gpu_status (
    server_id      uuid        NOT NULL PRIMARY KEY,
    boot_id        uuid        NOT NULL,
    sequence       bigint      NOT NULL,
    received_at    timestamptz NOT NULL,
    sent_at        timestamptz NOT NULL,
    cpu_percent    float8,
    memory_percent float8,
    gpus           jsonb       NOT NULL,
    running        jsonb       NOT NULL,
    is_draining    boolean     NOT NULL,
    is_simulated   boolean     NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- after the rows
