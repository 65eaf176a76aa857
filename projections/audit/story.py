"""The log as an auditor reads it: who did what, when, by which command and because of what.

Personal fields stay as they are stored, encrypted: what an auditor is shown can be handed on.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Composed

PAGE_MAX: Final = 1_000

COLUMNS: Final = SQL("""
    notification_id, originator_id, originator_version, topic, recorded_at, actor, command_id,
    correlation_id, causation_id, state
""")
# a filter that is not given is a constant for the planner
MATCHING: Final = SQL("""
    SELECT {columns} FROM owl_log.events
    WHERE notification_id > %(after)s AND notification_id <= %(until)s
        AND (%(tags)s::text[] IS NULL OR topic LIKE ANY (%(tags)s))
        AND (%(streams)s::uuid[] IS NULL OR originator_id = ANY (%(streams)s))
        AND (%(actor)s::text IS NULL OR actor LIKE %(actor)s)
        AND (%(correlation)s::text IS NULL OR correlation_id = %(correlation)s)
        AND (%(user_id)s::text IS NULL
            OR owl_log.readable(state) ->> 'user_id' = %(user_id)s
            OR originator_id = %(user_id)s::text::uuid)
        AND (%(amount_fen)s::bigint IS NULL OR EXISTS (
            SELECT FROM jsonb_each(owl_log.readable(state)) AS field
            WHERE field.key = ANY (%(amounts)s)
                AND abs(field.value::bigint) >= %(amount_fen)s))
    ORDER BY notification_id LIMIT %(limit)s
""").format(columns=COLUMNS)
AT: Final = SQL("""
    SELECT {columns} FROM owl_log.events WHERE notification_id = %(position)s
""").format(columns=COLUMNS)
HEAD: Final = "SELECT coalesce(max(notification_id), 0) FROM owl_log.events"
RECORDED_AT: Final = """
    SELECT recorded_at FROM owl_log.events WHERE notification_id = %(position)s
"""
AMOUNTS: Final = ["amount_fen", "delta_fen", "charged_fen", "cost_fen", "hold_fen"]
"""The fields of facts that are sums of money."""


class Entry(Struct, frozen=True, kw_only=True):
    """One event. ``fact`` is the JSON as stored."""

    position: int
    stream: UUID
    version: int
    tag: str
    recorded_at: datetime
    actor: str
    command_id: UUID
    correlation_id: str
    causation_id: int | None
    fact: msgspec.Raw


class Filter(Struct, frozen=True, kw_only=True):
    """Which events; what is ``None`` does not matter.

    ``tag`` and ``actor`` may hold ``*`` for anything. ``user_id`` finds what is about a user,
    in any stream. ``amount_fen`` finds sums of at least that much.
    """

    after: int = 0
    until: int | None = None
    tag: str | None = None
    streams: tuple[UUID, ...] | None = None
    actor: str | None = None
    correlation: str | None = None
    user_id: UUID | None = None
    amount_fen: int | None = None


async def head(connection: AsyncConnection[Any]) -> int:
    """The highest position, 0 when the log is empty."""
    return int((await rows(connection, HEAD, {}))[0][0])


async def entries(
    connection: AsyncConnection[Any], wanted: Filter, limit: int = 100
) -> list[Entry]:
    """The first ``limit`` events that match, in the log's order."""
    until = await head(connection) if wanted.until is None else wanted.until
    parameters = {
        "after": wanted.after,
        "until": until,
        "tags": None if wanted.tag is None else [_like(wanted.tag)],
        "streams": None if wanted.streams is None else list(wanted.streams),
        "actor": None if wanted.actor is None else _like(wanted.actor),
        "correlation": wanted.correlation,
        "user_id": None if wanted.user_id is None else str(wanted.user_id),
        "amount_fen": wanted.amount_fen,
        "amounts": AMOUNTS,
        "limit": min(limit, PAGE_MAX),
    }
    return [entry(row) for row in await rows(connection, MATCHING, parameters)]


async def entry_at(connection: AsyncConnection[Any], position: int) -> Entry | None:
    """The event at a position."""
    found = await rows(connection, AT, {"position": position})
    return entry(found[0]) if found else None


async def position_at(connection: AsyncConnection[Any], moment: datetime) -> int:
    """The last position that was recorded by ``moment``; 0 when there is none.

    Positions are given in the order of commits, and times in that order but for the little that
    the clocks of several writers differ.
    """
    low, high = 0, await head(connection)
    while low < high:
        middle = (low + high + 1) // 2
        found = await rows(connection, RECORDED_AT, {"position": middle})
        if found and found[0][0] <= moment:
            low = middle
        else:
            high = middle - 1
    return low


def entry(row: tuple[Any, ...]) -> Entry:
    """A row of ``COLUMNS``."""
    position, stream, version, tag, recorded_at, actor, command_id, *about, state = row
    correlation_id, causation_id = about
    return Entry(
        position=position,
        stream=stream,
        version=version,
        tag=tag,
        recorded_at=recorded_at,
        actor=actor,
        command_id=command_id,
        correlation_id=correlation_id,
        causation_id=causation_id,
        fact=msgspec.Raw(state),
    )


async def rows(
    connection: AsyncConnection[Any],
    query: LiteralString | Composed,
    parameters: dict[str, Any],
) -> list[tuple[Any, ...]]:
    """All rows of a query, in binary."""
    async with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()


def _like(pattern: str) -> str:
    """A pattern of SQL's LIKE: ``*`` is anything, all else is itself."""
    for special in ("\\", "%", "_"):
        pattern = pattern.replace(special, "\\" + special)
    return pattern.replace("*", "%")
