"""One request from end to end: every event that it led to, as a tree of causes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.sql import SQL

from projections.audit.story import COLUMNS, Entry, Filter, entries, entry, entry_at, rows

EVENTS_MAX: Final = 1_000

CAUSES: Final = """
    WITH RECURSIVE cause AS (
        SELECT notification_id, causation_id FROM owl_log.events
        WHERE notification_id = %(position)s
        UNION ALL
        SELECT earlier.notification_id, earlier.causation_id
        FROM cause JOIN owl_log.events AS earlier
            ON earlier.notification_id = cause.causation_id
            AND earlier.notification_id < cause.notification_id
    )
    SELECT min(notification_id) FROM cause
"""
WITHIN: Final = SQL("""
    SELECT {columns} FROM owl_log.events
    WHERE correlation_id = %(correlation)s AND notification_id >= %(first)s
    ORDER BY notification_id LIMIT %(limit)s
""").format(columns=COLUMNS)


class Traced(Struct, frozen=True):
    """An event, and how many causes stand above it."""

    depth: int
    entry: Entry


async def trace_position(connection: AsyncConnection[Any], position: int) -> list[Traced]:
    """The tree in which the event at ``position`` stands; empty when there is none."""
    found = await entry_at(connection, position)
    if found is None:
        return []
    first = (await rows(connection, CAUSES, {"position": position}))[0][0]
    # what a request led to cannot stand before its first cause
    within = {"correlation": found.correlation_id, "first": first, "limit": EVENTS_MAX}
    story = [entry(row) for row in await rows(connection, WITHIN, within)]
    root = await entry_at(connection, first)
    assert root is not None, "what causes an event is an event"
    return tree([root, *(each for each in story if each.position != first)])


async def trace_correlation(connection: AsyncConnection[Any], correlation: str) -> list[Traced]:
    """All that one request led to; at most a thousand events."""
    return tree(await entries(connection, Filter(correlation=correlation), EVENTS_MAX))


def tree(story: Sequence[Entry]) -> list[Traced]:
    """Each event after and under what caused it; at the top those whose cause is not here."""
    known = {each.position for each in story}
    under: defaultdict[int | None, list[Entry]] = defaultdict(list)
    for each in story:
        cause = each.causation_id
        is_under = cause is not None and cause in known and cause < each.position
        under[cause if is_under else None].append(each)
    traced = []
    waiting = [Traced(0, each) for each in reversed(under[None])]
    while waiting:
        here = waiting.pop()
        traced.append(here)
        children = under[here.entry.position]
        waiting += [Traced(here.depth + 1, each) for each in reversed(children)]
    return traced
