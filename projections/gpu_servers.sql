-- The servers of the farm as the business log knows them. One row a server.

CREATE TABLE gpu_servers (
    server_id            uuid        NOT NULL PRIMARY KEY,
    name                 text        NOT NULL,
    host                 text        NOT NULL,
    max_concurrent_tasks bigint      NOT NULL CHECK (max_concurrent_tasks >= 0),
    is_online            boolean     NOT NULL,
    is_drained           boolean     NOT NULL,
    is_simulated         boolean     NOT NULL,
    serves_files         boolean     NOT NULL,
    agent_version        text        NOT NULL,
    cpu_count            bigint,
    memory_total_mib     bigint,
    gpus                 jsonb       NOT NULL,
    failed_gpus          jsonb       NOT NULL,
    registered_at        timestamptz NOT NULL,
    enrolled_at          timestamptz,
    last_seen_at         timestamptz,
    updated_at           timestamptz NOT NULL,
    removed_at           timestamptz,
    CHECK (NOT (is_online AND removed_at IS NOT NULL))
) WITH (fillfactor = 70);

-- after the rows

