"""Queries of the farm: the servers, one server now, and all of it at a glance.

Figures of a server that is not live (``live_servers``) are not shown: they are ``None``, and
sums and averages are over live servers only.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection

from domain.fleet.events import GpuInventory
from domain.fleet.messages import GpuSample, RunningTask
from projections.live_servers import LIVE_SERVERS, at
from projections.page import one

ServerStatus = Literal["online", "offline", "maintenance", "error"]


class ServerView(Struct, frozen=True, kw_only=True):
    """One server for a list. GPU memory is in MiB, the host's usage in percent."""

    server_id: UUID
    name: str
    host: str
    status: ServerStatus
    current_tasks: int
    max_concurrent_tasks: int
    gpu_count: int
    gpus: tuple[GpuInventory, ...]
    failed_gpus: dict[str, str]
    gpu_memory_total_mib: int
    gpu_memory_used_mib: int | None
    cpu_percent: float | None
    memory_percent: float | None
    last_heartbeat_at: datetime | None
    is_simulated: bool
    agent_version: str
    registered_at: datetime
    enrolled_at: datetime | None


class ServerNow(Struct, frozen=True, kw_only=True):
    """One server's newest figures; ``at`` says from when, ``None`` if it was never seen."""

    server_id: UUID
    status: ServerStatus
    cpu_percent: float | None
    memory_percent: float | None
    gpus: tuple[GpuSample, ...]
    running: tuple[RunningTask, ...]
    at: datetime | None
    is_simulated: bool


class ClusterOverview(Struct, frozen=True, kw_only=True):
    """The farm at a glance. ``busy_gpus`` and ``idle_gpus`` are on online servers."""

    total_servers: int
    online_servers: int
    offline_servers: int
    total_gpus: int
    busy_gpus: int
    idle_gpus: int
    total_running_tasks: int
    queue_length: int
    average_gpu_usage_percent: float
    gpu_memory_total_mib: int
    gpu_memory_used_mib: int


SERVERS: Final = """
    , found AS (
        SELECT server.server_id, name, host, max_concurrent_tasks, server.gpus, failed_gpus,
            is_simulated, agent_version, registered_at, enrolled_at, last_heartbeat_at,
            jsonb_array_length(server.gpus) AS gpu_count,
            CASE
                WHEN NOT is_live THEN 'offline'
                WHEN is_drained THEN 'maintenance'
                WHEN server.gpus <> '[]' AND jsonb_array_length(server.gpus)
                    <= (SELECT count(*) FROM jsonb_object_keys(failed_gpus)) THEN 'error'
                ELSE 'online'
            END AS status,
            (
                SELECT count(*) FROM read.tasks AS task
                WHERE task.server_id = server.server_id
                    AND phase IN ('assigned', 'running', 'cancelling')
            ) AS current_tasks,
            (
                SELECT coalesce(sum((gpu ->> 'memory_total_mib')::bigint), 0)
                FROM jsonb_array_elements(server.gpus) AS gpu
            ) AS gpu_memory_total_mib,
            CASE WHEN shows_figures THEN (
                -- of no GPU at all it is 0; of one that does not tell it is not known
                SELECT CASE WHEN count(*) = 0 THEN 0
                    ELSE sum((gpu ->> 'memory_used_mib')::bigint) END
                FROM jsonb_array_elements(gpu_figures) AS gpu
            ) END AS gpu_memory_used_mib,
            CASE WHEN shows_figures THEN cpu_percent END AS cpu_percent,
            CASE WHEN shows_figures THEN memory_percent END AS memory_percent,
            CASE WHEN shows_figures THEN gpu_figures ELSE '[]' END AS figures,
            CASE WHEN shows_figures THEN running ELSE '[]' END AS running
        FROM farm AS server
    )
"""
ALL: Final = """
    SELECT coalesce(json_agg(found ORDER BY name, server_id), '[]')::text
    FROM found
"""
BY_ID: Final = """
    SELECT to_json(found)::text FROM found WHERE server_id = %(server_id)s
"""
NOW: Final = """
    SELECT json_build_object(
        'server_id', server_id, 'status', status, 'cpu_percent', cpu_percent,
        'memory_percent', memory_percent, 'gpus', coalesce(figures, '[]'),
        'running', (
            SELECT coalesce(json_agg(each ORDER BY nth), '[]')
            FROM jsonb_array_elements(running) WITH ORDINALITY AS runs (each, nth)
            WHERE %(user_id)s::uuid IS NULL OR EXISTS (
                SELECT FROM read.tasks AS task
                WHERE task.task_id = (each ->> 'task_id')::uuid AND user_id = %(user_id)s
            )
        ),
        'at', last_heartbeat_at,
        'is_simulated', is_simulated
    )::text
    FROM found WHERE server_id = %(server_id)s
"""
OVERVIEW: Final = """
    , servers AS (
        SELECT server_id, is_live, jsonb_array_length(gpus) AS gpus,
            (SELECT count(*) FROM jsonb_object_keys(failed_gpus)) AS failed
        FROM farm
    ), figures AS (
        SELECT gpu.*
        FROM farm, jsonb_to_recordset(gpu_figures) AS gpu (
            usage_percent float8, memory_used_mib bigint, memory_total_mib bigint
        )
        WHERE shows_figures
    ), busy AS (
        SELECT count(DISTINCT (task.server_id, gpu)) AS gpus
        FROM servers
        JOIN read.tasks AS task USING (server_id),
        jsonb_array_elements_text(task.gpu_uuids) AS gpu
        WHERE is_live AND phase IN ('assigned', 'running', 'cancelling')
            AND task.status = 'running'
    )
    SELECT json_build_object(
        'total_servers', count(*),
        'online_servers', count(*) FILTER (WHERE is_live),
        'offline_servers', count(*) FILTER (WHERE NOT is_live),
        'total_gpus', coalesce(sum(gpus), 0),
        'busy_gpus', (SELECT gpus FROM busy),
        'idle_gpus', greatest(0, coalesce(sum(gpus - failed) FILTER (WHERE is_live), 0)
            - (SELECT gpus FROM busy)),
        'total_running_tasks', (
            SELECT coalesce(sum(n), 0) FROM read.task_totals WHERE status = 'running'
        ),
        'queue_length', (
            SELECT coalesce(sum(n), 0) FROM read.task_totals WHERE status = 'pending'
        ),
        'average_gpu_usage_percent', (
            SELECT coalesce(avg(usage_percent), 0) FROM figures
        ),
        'gpu_memory_total_mib', (SELECT coalesce(sum(memory_total_mib), 0) FROM figures),
        'gpu_memory_used_mib', (SELECT coalesce(sum(memory_used_mib), 0) FROM figures)
    )::text
    FROM servers
"""


async def servers(connection: AsyncConnection[Any], *, now: datetime) -> tuple[ServerView, ...]:
    """Every server that was not removed, by name."""
    found = await one(connection, tuple[ServerView, ...], LIVE_SERVERS + SERVERS + ALL, at(now))
    assert found is not None, "an aggregate gives one row"
    return found


async def server_by_id(
    connection: AsyncConnection[Any], server_id: UUID, *, now: datetime
) -> ServerView | None:
    """The server, unless it was removed."""
    about = {"server_id": server_id, **at(now)}
    return await one(connection, ServerView, LIVE_SERVERS + SERVERS + BY_ID, about)


async def server_now(
    connection: AsyncConnection[Any], server_id: UUID, *, user_id: UUID | None, now: datetime
) -> ServerNow | None:
    """The server's figures of the moment; of what runs there ``user_id``'s, or everybody's."""
    about = {"server_id": server_id, "user_id": user_id, **at(now)}
    return await one(connection, ServerNow, LIVE_SERVERS + SERVERS + NOW, about)


async def cluster_overview(
    connection: AsyncConnection[Any], *, now: datetime
) -> ClusterOverview:
    """The farm at a glance."""
    found = await one(connection, ClusterOverview, LIVE_SERVERS + OVERVIEW, at(now))
    assert found is not None, "an aggregate gives one row"
    return found
