"""One request from end to end: every event that it led to, as a tree of causes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct
from psycopg import AsyncConnection

from projections.audit.story import Entry, Filter, entry_at, look, rows

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


class Traced(Struct, frozen=True):
    """An event, and how many causes stand above it."""

    depth: int
    entry: Entry


class Trace(Struct, frozen=True):
    """The tree, from its root on; without ``is_complete`` there may be more of it."""

    events: list[Traced]
    is_complete: bool


async def trace_position(
    connection: AsyncConnection[Any],
    position: int,
    *,
    until: int | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> Trace:
    """The tree in which the event at ``position`` stands; empty when there is none."""
    found = await entry_at(connection, position)
    if found is None:
        return Trace([], is_complete=True)
    first = (await rows(connection, CAUSES, {"position": position}))[0][0]
    # what a request led to cannot stand before its first cause
    within = Filter(correlation=found.correlation_id, after=first - 1, until=until)
    story = await look(connection, within, EVENTS_MAX, enough=enough)
    root = await entry_at(connection, first)
    assert root is not None, "what causes an event is an event"
    rest = (each for each in story.entries if each.position != first)
    return Trace(tree([root, *rest]), is_complete=story.onwards is None)


async def trace_correlation(
    connection: AsyncConnection[Any],
    correlation: str,
    *,
    until: int | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> Trace:
    """All that one request led to; at most a thousand events."""
    within = Filter(correlation=correlation, until=until)
    story = await look(connection, within, EVENTS_MAX, enough=enough)
    return Trace(tree(story.entries), is_complete=story.onwards is None)


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
