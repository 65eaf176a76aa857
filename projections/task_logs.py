"""A task's log: what happened to it and what it wrote, merged in the order of recording.

The order is that of the platform's clock, since an agent's clock is only data; inside one
chunk it is the order in which the task wrote.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection

from projections.page import Found, Page, offset, one


class LogCursor(Struct, frozen=True, array_like=True):
    """The place of a line in its task's log; lines are ordered by these four."""

    recorded_at: datetime
    source: Literal[0, 1]
    position: int
    line: int


class LogLine(Struct, frozen=True, kw_only=True):
    """One line.

    ``source`` 0 is an event (``tag`` and ``data`` say what happened), 1 is output (``text``;
    ``at`` is the agent's clock). ``position`` and ``event_id`` name the event in its log.
    """

    recorded_at: datetime
    source: Literal[0, 1]
    position: int
    line: int
    event_id: str
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    attempt: int
    actor: str
    tag: str | None = None
    data: dict[str, Any] | None = None
    text: str | None = None
    at: datetime | None = None

    @property
    def cursor(self) -> LogCursor:
        """What to give for the lines after this one."""
        return LogCursor(self.recorded_at, self.source, self.position, self.line)


MERGED: Final = """
    WITH merged AS (
        SELECT recorded_at, 0 AS source, position, 0::bigint AS line,
            stream || '/' || version AS event_id, level, attempt, actor, tag, data,
            NULL::text AS text, NULL::timestamptz AS at
        FROM read.task_events WHERE task_id = %(task_id)s
        UNION ALL
        SELECT recorded_at, 1 AS source, position, number AS line,
            task_id || '/' || version AS event_id, written ->> 'level' AS level, attempt,
            'agent:' || server_id AS actor, NULL::text AS tag, NULL::jsonb AS data,
            written ->> 'text' AS text, (written ->> 'at')::timestamptz AS at
        FROM read.task_output,
            jsonb_array_elements(lines) WITH ORDINALITY AS written_line (written, number)
        WHERE task_id = %(task_id)s
    )
"""
PAGE: Final = """
    SELECT json_build_object(
        'total', (SELECT count(*) FROM read.task_events WHERE task_id = %(task_id)s)
            + coalesce((SELECT n FROM read.task_output_lines WHERE task_id = %(task_id)s), 0),
        'items', coalesce((
            SELECT json_agg(to_json(found) ORDER BY recorded_at, source, position, line)
            FROM (
                SELECT * FROM merged ORDER BY recorded_at, source, position, line
                LIMIT %(limit)s OFFSET %(offset)s
            ) AS found
        ), '[]'::json)
    )::text
"""
AFTER: Final = """
    SELECT coalesce(
        json_agg(to_json(found) ORDER BY recorded_at, source, position, line), '[]'
    )::text
    FROM (
        SELECT * FROM merged
        -- the first condition alone can use the indexes
        WHERE recorded_at >= %(recorded_at)s AND (recorded_at, source, position, line)
            > (%(recorded_at)s, %(source)s, %(position)s, %(line)s)
        ORDER BY recorded_at, source, position, line LIMIT %(limit)s
    ) AS found
"""


async def log_page(
    connection: AsyncConnection[Any], task_id: UUID, *, page: int, page_size: int
) -> Page[LogLine]:
    """One page of the task's log, the oldest line first."""
    parameters = {"task_id": task_id, "limit": page_size, "offset": offset(page, page_size)}
    found = await one(connection, Found[LogLine], MERGED + PAGE, parameters)
    assert found is not None, "an aggregate gives one row"
    return Page(items=found.items, total=found.total, page=page, page_size=page_size)


async def log_after(
    connection: AsyncConnection[Any], task_id: UUID, cursor: LogCursor, *, limit: int
) -> tuple[LogLine, ...]:
    """The lines that follow ``cursor``: what a watcher has not seen yet."""
    parameters = {
        "task_id": task_id,
        "recorded_at": cursor.recorded_at,
        "source": cursor.source,
        "position": cursor.position,
        "line": cursor.line,
        "limit": limit,
    }
    found = await one(connection, tuple[LogLine, ...], MERGED + AFTER, parameters)
    assert found is not None, "an aggregate gives one row"
    return found
