"""The platform at a glance for administrators: users, tasks, servers, money.

From tallies alone, so it costs the same whatever the history; only servers are counted, which
are few.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from psycopg import AsyncConnection

from domain.money import Fen
from projections.live_servers import LIVE_SERVERS, at
from projections.page import one

STATISTICS: Final = """
    SELECT json_build_object(
        'total_users', people.total,
        'active_users', people.active,
        'total_tasks', work.total,
        'pending_tasks', work.pending,
        'running_tasks', work.running,
        'completed_tasks', work.completed,
        'failed_tasks', work.failed,
        'cancelled_tasks', work.cancelled,
        'total_gpu_servers', fleet.total,
        'online_gpu_servers', fleet.online,
        'revenue_fen', money.spent,
        'recharged_fen', money.recharged,
        'granted_fen', money.granted,
        'outstanding_fen', money.recharged + money.granted - money.spent
    )::text
    FROM (
        SELECT coalesce(sum(n), 0) AS total,
            coalesce(sum(n) FILTER (WHERE is_active), 0) AS active
        FROM read.user_totals
    ) AS people, (
        SELECT coalesce(sum(n), 0) AS total,
            coalesce(sum(n) FILTER (WHERE status = 'pending'), 0) AS pending,
            coalesce(sum(n) FILTER (WHERE status = 'running'), 0) AS running,
            coalesce(sum(n) FILTER (WHERE status = 'completed'), 0) AS completed,
            coalesce(sum(n) FILTER (WHERE status = 'failed'), 0) AS failed,
            coalesce(sum(n) FILTER (WHERE status = 'cancelled'), 0) AS cancelled
        FROM read.task_totals
    ) AS work, (
        SELECT count(*) AS total, count(*) FILTER (WHERE is_live) AS online FROM farm
    ) AS fleet, (
        SELECT
            (SELECT coalesce(sum(n), 0) FROM read.recharged_totals) AS recharged,
            (SELECT coalesce(sum(n), 0) FROM read.granted_totals) AS granted,
            (SELECT coalesce(sum(n), 0) FROM read.spent_totals) AS spent
    ) AS money
"""


class SystemStatistics(Struct, frozen=True, kw_only=True):
    """A task counts by what it is now, deleted ones too. Removed servers do not count.

    ``revenue_fen`` is what was charged, ``outstanding_fen`` what users may still use: what came
    in by codes and grants less what was charged, holds included.
    """

    total_users: int
    active_users: int
    total_tasks: int
    pending_tasks: int
    running_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int
    total_gpu_servers: int
    online_gpu_servers: int
    revenue_fen: Fen
    recharged_fen: Fen
    granted_fen: Fen
    outstanding_fen: Fen


async def system_statistics(
    connection: AsyncConnection[Any], *, now: datetime
) -> SystemStatistics:
    """The platform as of the connection's snapshot, its servers as they are live now."""
    found = await one(connection, SystemStatistics, LIVE_SERVERS + STATISTICS, at(now))
    assert found is not None, "a join of aggregates gives one row"
    return found
