"""What happened to all tasks on some days, in order: for a download.

A day is found by the log's own block-range index, which costs an append nothing; then its
events are read in windows of positions, so that each read is bounded however full the day.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection

from projections.page import one
from projections.task_event_lines import ABOUT_EVENTS, PARTS_OF_EVENTS
from projections.task_logs import LogLine

WINDOW: Final = 2_000
"""Positions looked at by one read."""

# the sum keeps the planner from walking along the positions until it meets the day
BOUNDS: Final = """
    SELECT json_build_object(
        'first', min(notification_id + 0), 'last', max(notification_id + 0)
    )::text
    FROM owl_log.events WHERE recorded_at >= %(start)s AND recorded_at < %(end)s
"""
_WITHIN: Final = """
    WITH {shown}
    SELECT coalesce(json_agg(to_json(found)), '[]')::text FROM (
        SELECT recorded_at, 0 AS source, notification_id AS position, 0 AS line, {said},
            fact ->> 'task_id' AS task_id
        FROM (
            SELECT *, {fact} AS fact FROM owl_log.events
            WHERE notification_id >= %(first)s AND notification_id < %(beyond)s
                AND notification_id <= (SELECT upto FROM shown)
                AND recorded_at >= %(start)s AND recorded_at < %(end)s
                AND topic = ANY ((SELECT tags FROM leveled)::text[])
            OFFSET 0
        ) AS event
        ORDER BY notification_id
    ) AS found
"""
WITHIN: Final = _WITHIN.format(**PARTS_OF_EVENTS)

Reading = Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]


class TaskLine(LogLine, frozen=True, kw_only=True):
    """A line of a task's log, with whose it is."""

    task_id: UUID


class Bounds(Struct, frozen=True):
    """The first and the last position of a span; ``None`` when nothing happened."""

    first: int | None
    last: int | None


async def task_lines_of_days(
    reading: Reading, start_date: date, end_date: date
) -> AsyncIterator[tuple[TaskLine, ...]]:
    """The events of all tasks on these UTC days, both included, a window at a time.

    ``reading`` opens a connection; each window takes its own, for a client may read slowly.
    """
    parameters = ABOUT_EVENTS | {
        "start": datetime.combine(start_date, time(), UTC),
        "end": datetime.combine(end_date + timedelta(days=1), time(), UTC),
    }
    async with reading() as connection:
        bounds = await one(connection, Bounds, BOUNDS, parameters)
    assert bounds is not None, "an aggregate gives one row"
    if bounds.first is None or bounds.last is None:
        return
    for first in range(bounds.first, bounds.last + 1, WINDOW):
        window = {"first": first, "beyond": first + WINDOW}
        async with reading() as connection:
            lines = await one(connection, tuple[TaskLine, ...], WITHIN, parameters | window)
        if lines:
            yield lines
