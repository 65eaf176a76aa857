"""The log as an auditor reads it: who did what, when, by which command and because of what.

Personal fields stay as they are stored, encrypted: what an auditor is shown can be handed on.

A list is read stretch by stretch along the log, since no index could serve every filter at
once: whoever asks says when to stop, and gets a place to go on from.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Composed

PAGE_MAX: Final = 1_000
STRETCH: Final = 10_000
"""How many positions one statement looks at, where it cannot know which ones match."""

COLUMNS: Final = SQL("""
    notification_id, originator_id, originator_version, topic, recorded_at, actor, command_id,
    correlation_id, causation_id, state
""")
IN_ORDER: Final = SQL("""
    SELECT {columns} FROM owl_log.events
    WHERE notification_id > %(after)s AND notification_id <= %(until)s{more}
    ORDER BY notification_id LIMIT %(limit)s
""")
NEWEST_FIRST: Final = SQL("""
    SELECT {columns} FROM owl_log.events
    WHERE notification_id > %(after)s AND notification_id <= %(until)s{more}
    ORDER BY notification_id DESC LIMIT %(limit)s
""")
# only what is asked for stands in the statement: a plan that is kept then stays the right one
CONDITIONS: Final = {
    "tag": SQL(" AND topic LIKE %(tag)s"),
    "streams": SQL(" AND originator_id = ANY (%(streams)s)"),
    "actor": SQL(" AND actor LIKE %(actor)s"),
    "correlation": SQL(" AND correlation_id = %(correlation)s"),
    "user_id": SQL("""
        AND (owl_log.readable(state) ->> 'user_id' = %(user_id)s
            OR originator_id = %(user_id)s::uuid)
    """),
    "amount_fen": SQL("""
        AND EXISTS (
            SELECT FROM jsonb_each(owl_log.readable(state)) AS field
            WHERE field.key = ANY (%(amounts)s)
                AND abs(field.value::bigint) >= %(amount_fen)s)
    """),
}
INDEXED: Final = frozenset({"streams", "correlation"})
AT: Final = SQL("""
    SELECT {columns} FROM owl_log.events WHERE notification_id = %(position)s
""").format(columns=COLUMNS)
AT_VERSION: Final = SQL("""
    SELECT {columns} FROM owl_log.events
    WHERE originator_id = %(stream)s AND originator_version = %(version)s
""").format(columns=COLUMNS)
HEAD: Final = "SELECT coalesce(max(notification_id), 0) FROM owl_log.events"
# halves what is left, some twenty-five times, on the server: one question, whatever the ping
RECORDED_BY: Final = """
    WITH RECURSIVE narrowed (low, high) AS (
        SELECT 0::bigint, coalesce(max(notification_id), 0) FROM owl_log.events
        UNION ALL
        SELECT CASE WHEN is_by_then THEN middle ELSE low END,
            CASE WHEN is_by_then THEN high ELSE middle - 1 END
        FROM narrowed
        CROSS JOIN LATERAL (SELECT (low + high + 1) / 2 AS middle) AS half
        CROSS JOIN LATERAL (
            SELECT EXISTS (
                SELECT FROM owl_log.events
                WHERE notification_id = middle AND recorded_at <= %(moment)s
            ) AS is_by_then OFFSET 0
        ) AS asked
        WHERE low < high
    )
    SELECT low FROM narrowed WHERE low >= high
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


class Found(Struct, frozen=True):
    """The events that match, and where to go on: ``None`` when there are no more.

    Going on means ``Filter.after`` where the order is the log's, and ``Filter.until`` where the
    newest come first.
    """

    entries: list[Entry]
    onwards: int | None


async def head(connection: AsyncConnection[Any]) -> int:
    """The highest position, 0 when the log is empty."""
    return int((await rows(connection, HEAD, {}))[0][0])


async def look(
    connection: AsyncConnection[Any],
    wanted: Filter,
    limit: int,
    *,
    newest_first: bool = False,
    enough: Callable[[], bool] = lambda: False,
) -> Found:
    """At most ``limit`` events that match; fewer when ``enough`` says that it took too long."""
    until = await head(connection) if wanted.until is None else wanted.until
    low, high, limit = wanted.after, until, min(limit, PAGE_MAX)
    statement, parameters = stretch(wanted, newest_first=newest_first)
    given = _given(wanted)
    is_quick = not given or bool(INDEXED.intersection(given))
    found: list[Entry] = []
    while low < high and len(found) < limit:
        first, last = low, high
        if not is_quick and newest_first:
            first = max(low, high - STRETCH)
        elif not is_quick:
            last = min(high, low + STRETCH)
        bounds = {"after": first, "until": last, "limit": limit - len(found)}
        part = [entry(row) for row in await rows(connection, statement, parameters | bounds)]
        found += part
        if len(found) == limit:
            last_seen = part[-1].position
            low, high = (low, last_seen - 1) if newest_first else (last_seen, high)
        elif newest_first:
            high = first
        else:
            low = last
        if enough():
            break
    onwards = None if low >= high else high if newest_first else low
    return Found(found, onwards)


async def entries(
    connection: AsyncConnection[Any], wanted: Filter, limit: int = 100
) -> list[Entry]:
    """The first ``limit`` events that match, in the log's order."""
    return (await look(connection, wanted, limit)).entries


async def entry_at(connection: AsyncConnection[Any], position: int) -> Entry | None:
    """The event at a position."""
    found = await rows(connection, AT, {"position": position})
    return entry(found[0]) if found else None


async def entry_of(
    connection: AsyncConnection[Any], stream: UUID, version: int
) -> Entry | None:
    """The event of a stream with this version."""
    found = await rows(connection, AT_VERSION, {"stream": stream, "version": version})
    return entry(found[0]) if found else None


def moment_in(text: str) -> int | datetime:
    """A position, or a time; a time without a zone is UTC.

    Raises:
        ValueError: it is neither.
    """
    if text.isascii() and text.isdecimal():
        return int(text)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def position_of(
    connection: AsyncConnection[Any], moment: int | datetime | None
) -> int | None:
    """The position that was given, or that of the time that was given."""
    if isinstance(moment, datetime):
        return await position_at(connection, moment)
    return moment


async def bounds(
    connection: AsyncConnection[Any],
    since: int | datetime | None,
    until: int | datetime | None,
) -> tuple[int, int | None]:
    """What to look at: from a position, or after a time; up to a position or time."""
    first = await position_of(connection, since) or 0
    after = first if isinstance(since, datetime) else max(0, first - 1)
    return after, await position_of(connection, until)


async def position_at(connection: AsyncConnection[Any], moment: datetime) -> int:
    """The last position that was recorded by ``moment``; 0 when there is none.

    Positions are given in the order of commits, and times in that order but for the little that
    the clocks of several writers differ.
    """
    return int((await rows(connection, RECORDED_BY, {"moment": moment}))[0][0])


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
        # a plan that is kept knows neither how long the stretch is nor how rare what is sought
        keeps = None if parameters.get("correlation") is None else False
        await cursor.execute(query, parameters, prepare=keeps)
        return await cursor.fetchall()


def _given(wanted: Filter) -> list[str]:
    return [name for name in CONDITIONS if getattr(wanted, name) is not None]


def stretch(wanted: Filter, *, newest_first: bool) -> tuple[Composed, dict[str, Any]]:
    """The statement that reads a stretch of the log, and its parameters but for the bounds."""
    more = SQL("").join(CONDITIONS[name] for name in _given(wanted))
    statement = (NEWEST_FIRST if newest_first else IN_ORDER).format(columns=COLUMNS, more=more)
    return statement, {
        "tag": None if wanted.tag is None else _like(wanted.tag),
        "streams": None if wanted.streams is None else list(wanted.streams),
        "actor": None if wanted.actor is None else _like(wanted.actor),
        "correlation": wanted.correlation,
        "user_id": None if wanted.user_id is None else str(wanted.user_id),
        "amount_fen": wanted.amount_fen,
        "amounts": AMOUNTS,
    }


def _like(pattern: str) -> str:
    """A pattern of SQL's LIKE: ``*`` is anything, all else is itself."""
    for special in ("\\", "%", "_"):
        pattern = pattern.replace(special, "\\" + special)
    return pattern.replace("*", "%")
