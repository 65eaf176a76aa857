"""Long stretches of a log, fast: streamed, binary, without what nobody asked for.

For rebuilds. One query covers a bounded stretch, so that no snapshot is held for long and dead
rows elsewhere can be pruned meanwhile. Source of the shape: measured, ``cursor.stream`` reads
1.5 times what COPY does and twice what a server-side cursor does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from itertools import islice
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Composed, Identifier

from commands.event_log.reading import COLUMNS, SEALED, StoredKeys, sound
from domain.catalogue import BY_TAG
from domain.envelope import Recorded
from domain.facts import Fact, tag_of

STRETCH: Final = 50_000
"""Positions that one query covers."""
ROWS_AT_ONCE: Final = 128
"""Of what is read: so few that they are folded and packed while the processor still has them at
hand. Measured: a rebuild's own time is two thirds of what it is with a thousand."""
READ_STRETCH = SQL("""
    SELECT {columns} FROM {table}
    WHERE notification_id > %(after)s AND notification_id <= %(upto)s {which}
    ORDER BY notification_id
""")
# a tag that is in no list is read, and stops the reader: an unknown event is never skipped
NOT_THESE = SQL("AND topic <> ALL(%(unwanted)s)")
# Their keys are fetched at once, not a few with each batch. What is about another user than its
# stream's is no harm: that key is fetched when it is met.
READ_OWNERS = SQL("""
    SELECT DISTINCT originator_id FROM {table}
    WHERE notification_id > %(after)s AND notification_id <= %(upto)s
        AND topic = ANY(%(sealed)s)
""")
SESSION = "SET statement_timeout = 0; SET timezone = 'UTC'"  # the reader sets the pace


class LogHistory:
    """``domain.ports.EventHistory`` of one log's table, ``owl_log.<table>``."""

    def __init__(
        self, conninfo: str, table: str, keys: StoredKeys, head: Callable[[], int]
    ) -> None:
        self.head = head
        self._conninfo = conninfo
        self._table = Identifier("owl_log", table)
        self._keys = keys

    def read(
        self, after: int, upto: int, facts: Collection[type[Fact]]
    ) -> Generator[Sequence[Recorded[Any]], None, None]:
        """See ``EventHistory``. The connection lives as long as the iterator."""
        wanted = {tag_of(fact) for fact in facts}
        unwanted = [tag for tag in BY_TAG if tag not in wanted]
        sealed = [tag_of(fact) for fact in SEALED.intersection(facts)]
        with psycopg.connect(
            self._conninfo, autocommit=True, row_factory=tuple_row
        ) as connection:
            connection.execute(SESSION)
            while after < upto:
                end = min(after + STRETCH, upto)
                if sealed:
                    self._fetch_keys(connection, after, end, sealed)
                yield from self._stretch(connection, after, end, unwanted)
                after = end

    def _fetch_keys(
        self, connection: psycopg.Connection[Any], after: int, upto: int, sealed: Sequence[str]
    ) -> None:
        about = {"after": after, "upto": upto, "sealed": sealed}
        rows = connection.execute(READ_OWNERS.format(table=self._table), about).fetchall()
        self._keys.load([owner for (owner,) in rows])

    def _stretch(
        self,
        connection: psycopg.Connection[Any],
        after: int,
        upto: int,
        unwanted: Sequence[str],
    ) -> Generator[Sequence[Recorded[Any]], None, None]:
        parameters = {"after": after, "upto": upto, "unwanted": unwanted}
        with connection.cursor(binary=True) as cursor:
            rows = cursor.stream(
                self._statement(any(unwanted)), parameters, size=ROWS_AT_ONCE, binary=True
            )
            while batch := list(islice(rows, ROWS_AT_ONCE)):
                events, bad = sound(batch, self._keys)
                if events:
                    yield events
                if bad is not None:
                    raise bad

    def _statement(self, some: bool) -> Composed:  # noqa: FBT001 - the one thing it depends on
        which = NOT_THESE if some else SQL("")
        return READ_STRETCH.format(columns=COLUMNS, table=self._table, which=which)
