"""Where a waiting task stands in the queue, and why it waits.

The place is by priority and age. The scheduler also weighs ageing and fairness between users,
so place and estimate are an honest guess, not a promise.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct
from psycopg import AsyncConnection

from domain.source_url import wants_files
from projections.live_servers import LIVE_SERVERS, at
from projections.page import one
from projections.tasks import TaskRow

COUNTED_AHEAD = 1_000
"""A longer queue ahead is not counted out: the place then says this many."""
GUESSED_DURATION_MIN = 10
"""What a task without an estimate is taken to last."""

PendingReason = Literal[
    "assigned", "no_online_server", "no_file_server", "no_free_slot", "next"
]

PLACE: Final = """
    SELECT json_build_object(
        'ahead', ahead.tasks,
        'minutes_ahead', ahead.minutes,
        'is_anyone_online', taking.is_any,
        'slots', taking.slots,
        'busy', taking.busy,
        'busy_minutes', taking.busy_minutes
    )::text
    FROM (
        SELECT count(*) AS tasks,
            coalesce(sum(coalesce(estimated_duration_min, %(guess)s)), 0) AS minutes
        FROM (
            SELECT estimated_duration_min FROM read.tasks
            WHERE phase = 'pending' AND (
                priority > %(priority)s
                OR (priority = %(priority)s
                    AND (queued_at, task_id) < (%(queued_at)s, %(task_id)s))
            )
            ORDER BY priority DESC, queued_at, task_id
            LIMIT %(most)s
        ) AS before_it
    ) AS ahead, (
        SELECT count(*) > 0 AS is_any,
            coalesce(sum(max_concurrent_tasks) FILTER (WHERE fits), 0) AS slots,
            coalesce(sum(work.tasks) FILTER (WHERE fits), 0) AS busy,
            coalesce(sum(work.minutes) FILTER (WHERE fits), 0) AS busy_minutes
        FROM farm AS server
        CROSS JOIN LATERAL (SELECT serves_files OR NOT %(wants_files)s AS fits) AS fitting
        CROSS JOIN LATERAL (
            SELECT count(*) AS tasks,
                sum(greatest(0, coalesce(estimated_duration_min, %(guess)s) - coalesce(
                    extract(epoch FROM %(now)s::timestamptz - started_at) / 60, 0
                ))) AS minutes
            FROM read.tasks AS task
            WHERE task.server_id = server.server_id
                AND phase IN ('assigned', 'running', 'cancelling')
        ) AS work
        WHERE is_live AND NOT is_drained
    ) AS taking
"""


class Queue(Struct, frozen=True, kw_only=True):
    """What stands before a task, and the slots of the servers that take work of its kind.

    ``busy_minutes`` is what those that run there have left by their estimates.
    """

    ahead: int
    minutes_ahead: int
    is_anyone_online: bool
    slots: int
    busy: int
    busy_minutes: float


class QueuePlace(Struct, frozen=True, kw_only=True):
    """``position`` counts from 1; no estimate while no server takes work."""

    position: int
    reason: PendingReason
    estimated_wait_s: int | None


async def queue_place(
    connection: AsyncConnection[Any], task: TaskRow, *, now: datetime
) -> QueuePlace | None:
    """The place of a task that waits; ``None`` for one that does not."""
    if task.phase == "assigned":
        return QueuePlace(position=1, reason="assigned", estimated_wait_s=0)
    if task.phase != "pending":
        return None
    queue = await one(connection, Queue, LIVE_SERVERS + PLACE, _parameters(task, now))
    assert queue is not None, "an aggregate gives one row"
    return place_in(queue)


def _parameters(task: TaskRow, now: datetime) -> dict[str, Any]:
    return {
        **at(now),
        "guess": GUESSED_DURATION_MIN,
        "priority": task.priority,
        "queued_at": task.queued_at,
        "wants_files": wants_files(task.config),
        "task_id": task.task_id,
        "most": COUNTED_AHEAD,
    }


def place_in(queue: Queue) -> QueuePlace:
    """The place, its reason and the estimate, from what stands before the task."""
    position = queue.ahead + 1
    free = queue.slots - queue.busy
    if queue.slots == 0:
        why: PendingReason = "no_file_server" if queue.is_anyone_online else "no_online_server"
        return QueuePlace(position=position, reason=why, estimated_wait_s=None)
    if position <= free:
        return QueuePlace(position=position, reason="next", estimated_wait_s=0)
    minutes = queue.minutes_ahead + queue.busy_minutes
    return QueuePlace(
        position=position,
        reason="no_free_slot",
        estimated_wait_s=round(60 * minutes / queue.slots),
    )
