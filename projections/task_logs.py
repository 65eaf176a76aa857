"""A task's log: what happened to it and what it wrote, merged in the order of recording.

The order is that of the platform's clock, since an agent's clock is only data; inside one
chunk it is the order in which the task wrote. A page finds its place by how many lines each
chunk has, which an index tells, and unpacks only the chunks that it shows: a long log costs no
more than a short one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection

from projections.page import Found, Page, offset, one
from projections.task_event_lines import ABOUT_EVENTS, PARTS_OF_EVENTS


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


PARTS: Final = """
    WITH {shown}, {events}, parts AS (
        SELECT recorded_at, 0 AS source, position, 1::bigint AS line_count
        FROM events WHERE true {events_on}
        UNION ALL (
            SELECT recorded_at, 1 AS source, position, line_count
            FROM read.task_output WHERE task_id = %(task_id)s AND line_count > 0 {output_on}
            -- each has a line at least, so no more of them are on the way to the page's end
            ORDER BY recorded_at, position LIMIT %(beyond)s
        )
    ), placed AS (
        SELECT parts.*, sum(line_count)
            OVER (ORDER BY recorded_at, source, position) - line_count AS before
        FROM parts
    ), lines AS (
        SELECT placed.recorded_at, source, placed.position, line.*
        FROM placed, LATERAL (
            (
                SELECT 0::bigint AS line, {said}, NULL::text AS text, NULL::timestamptz AS at
                FROM (
                    SELECT *, {fact} AS fact FROM owl_log.events
                    WHERE source = 0 AND notification_id = placed.position LIMIT 1
                ) AS event
            ) UNION ALL (
                SELECT number, task_id || '/' || version, 'agent:' || server_id, NULL, NULL,
                    written ->> 'level', attempt, written ->> 'text',
                    (written ->> 'at')::timestamptz
                FROM (
                    SELECT * FROM read.task_output
                    WHERE source = 1 AND task_id = %(task_id)s
                        AND recorded_at = placed.recorded_at AND position = placed.position
                    LIMIT 1
                ) AS chunk,
                jsonb_array_elements(lines) WITH ORDINALITY AS written_line (written, number)
            )
        ) AS line
        WHERE before < %(beyond)s AND {wanted}
    )
"""
PAGE: Final = """
    SELECT json_build_object(
        'total', (SELECT count(*) FROM events)
            + coalesce((SELECT n FROM read.task_output_lines WHERE task_id = %(task_id)s), 0),
        'items', coalesce((
            SELECT json_agg(to_json(lines) ORDER BY recorded_at, source, position, line)
            FROM lines
        ), '[]'::json)
    )::text
"""
AFTER: Final = """
    SELECT coalesce(
        json_agg(to_json(found) ORDER BY recorded_at, source, position, line), '[]'
    )::text
    FROM (
        SELECT * FROM lines ORDER BY recorded_at, source, position, line LIMIT %(limit)s
    ) AS found
"""
_ON_THE_PAGE: Final = """
    before + line_count > %(offset)s
    AND before + greatest(line, 1) > %(offset)s AND before + greatest(line, 1) <= %(beyond)s
"""
_AFTER_THE_CURSOR: Final = """
    (placed.recorded_at, source, placed.position, line)
        > (%(recorded_at)s, %(source)s, %(position)s, %(line)s)
"""
_FROM_THE_CURSOR: Final = """
    AND recorded_at >= %(recorded_at)s  -- the rest cannot use an index
    AND (recorded_at, {source}, position) >= (%(recorded_at)s, %(source)s, %(position)s)
"""
STATEMENTS: Final = {
    "page": PARTS.format(events_on="", output_on="", wanted=_ON_THE_PAGE, **PARTS_OF_EVENTS)
    + PAGE,
    "after": PARTS.format(
        events_on=_FROM_THE_CURSOR.format(source="0"),
        output_on=_FROM_THE_CURSOR.format(source="1"),
        wanted=_AFTER_THE_CURSOR,
        **PARTS_OF_EVENTS,
    )
    + AFTER,
}


async def log_page(
    connection: AsyncConnection[Any], task_id: UUID, *, page: int, page_size: int
) -> Page[LogLine]:
    """One page of the task's log, the oldest line first."""
    parameters = ABOUT_EVENTS | {
        "task_id": task_id,
        "offset": offset(page, page_size),
        "beyond": offset(page + 1, page_size),
    }
    found = await one(connection, Found[LogLine], STATEMENTS["page"], parameters)
    assert found is not None, "an aggregate gives one row"
    return Page(items=found.items, total=found.total, page=page, page_size=page_size)


async def log_after(
    connection: AsyncConnection[Any], task_id: UUID, cursor: LogCursor, *, limit: int
) -> tuple[LogLine, ...]:
    """The lines that follow ``cursor``: what a watcher has not seen yet."""
    parameters = ABOUT_EVENTS | {
        "task_id": task_id,
        "recorded_at": cursor.recorded_at,
        "source": cursor.source,
        "position": cursor.position,
        "line": cursor.line,
        "limit": limit,
        "beyond": limit + max(cursor.line, 1),  # the cursor's own part is read with the rest
    }
    found = await one(connection, tuple[LogLine, ...], STATEMENTS["after"], parameters)
    assert found is not None, "an aggregate gives one row"
    return found
