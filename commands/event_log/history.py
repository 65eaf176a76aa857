"""Long stretches of a log, fast: streamed by windows, binary, without what nobody asked for.

For rebuilds. One query covers a bounded stretch, so that no snapshot is held for long and dead
rows elsewhere can be pruned meanwhile. The server gathers the columns of a window's events, so
that they are taken apart and decoded by loops in C, not one by one: measured, a sixth less of
this process's time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Composed, Identifier

from commands.event_log.reading import COLUMNS, SEALED, UNREADABLE, StoredKeys, sound, unsealed
from domain.catalogue import BY_TAG, decode_lines
from domain.envelope import Told
from domain.facts import Fact, tag_of
from domain.ports import Undecodable

STRETCH: Final = 50_000
"""Positions that one query covers."""
WINDOW: Final = 128
"""Positions of which the events come together: so few that they are folded and packed while the
processor still has them at hand. Measured: a rebuild's own time is two thirds of what it is
with a thousand."""
# The subquery's order is that of what is gathered, and windows come as they are generated: to
# ask for either would sort what is sorted. Both are looked at.
READ_WINDOWS = SQL("""
    SELECT found.*
    FROM generate_series(%(after)s::bigint, %(upto)s::bigint - 1, {window}) AS start, LATERAL (
        SELECT array_agg(notification_id), array_agg(originator_id),
            array_agg(originator_version), array_agg(recorded_at), array_agg(actor),
            string_agg(state, '\\x0a')
        FROM (
            SELECT {columns} FROM {table}
            WHERE notification_id > start
                AND notification_id <= least(start + {window}, %(upto)s) {which}
            ORDER BY notification_id
        ) AS event
        HAVING count(*) > 0
    ) AS found
""")
READ_ROWS = SQL("""
    SELECT {columns} FROM {table}
    WHERE notification_id = ANY(%(positions)s) ORDER BY notification_id
""")
# a tag that is in no list is read, and stops the reader: an unknown event is never skipped
NOT_THESE = SQL("AND topic <> ALL(%(unwanted)s)")
# Their keys are fetched at once, not a few with each batch, while the stretch before is folded.
# What is about another user than its stream's is no harm: a key is fetched when it is met.
READ_OWNERS = SQL("""
    SELECT DISTINCT originator_id FROM {table}
    WHERE notification_id > %(after)s AND notification_id <= %(upto)s
        AND topic = ANY(%(sealed)s)
""")
# The reader sets the pace. A window is found by the key, however many are guessed to be in it.
SESSION = """
    SET statement_timeout = 0; SET timezone = 'UTC';
    SET jit = off; SET enable_seqscan = off; SET enable_bitmapscan = off
"""


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
    ) -> Generator[Sequence[Told[Any]], None, None]:
        """See ``EventHistory``. The connection lives as long as the iterator."""
        wanted = {tag_of(fact) for fact in facts}
        unwanted = [tag for tag in BY_TAG if tag not in wanted]
        sealed = [tag_of(fact) for fact in SEALED.intersection(facts)]
        with self._connected() as connection, ThreadPoolExecutor(1, "history-keys") as ahead:
            fetched = ahead.submit(self._fetch_keys, after, upto, sealed)
            while after < upto:
                end = min(after + STRETCH, upto)
                fetching = ahead.submit(self._fetch_keys, end, upto, sealed)
                yield from self._stretch(connection, after, end, unwanted)
                fetched.result()
                fetched, after = fetching, end

    def _connected(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self._conninfo, autocommit=True, row_factory=tuple_row)
        connection.execute(SESSION)
        return connection

    def _fetch_keys(self, after: int, upto: int, sealed: Sequence[str]) -> None:
        """Those of the stretch behind ``after``."""
        if not sealed or after >= upto:
            return
        about = {"after": after, "upto": min(after + STRETCH, upto), "sealed": sealed}
        with self._connected() as connection:
            rows = connection.execute(READ_OWNERS.format(table=self._table), about).fetchall()
        self._keys.load([owner for (owner,) in rows])

    def _stretch(
        self,
        connection: psycopg.Connection[Any],
        after: int,
        upto: int,
        unwanted: Sequence[str],
    ) -> Generator[Sequence[Told[Any]], None, None]:
        parameters = {"after": after, "upto": upto, "unwanted": unwanted}
        statement = self._statement(any(unwanted))
        with connection.cursor(binary=True) as cursor:
            for window in cursor.stream(statement, parameters, binary=True):
                positions = window[0]
                assert positions[0] > after, "windows are out of order"
                assert positions == sorted(positions), "a window is out of order"
                after = positions[-1]
                events, bad = self._sound(window)
                if events:
                    yield events
                if bad is not None:
                    raise bad

    def _sound(self, window: Sequence[Any]) -> tuple[Sequence[Told[Any]], Undecodable | None]:
        *columns, states = window
        try:
            facts = decode_lines(states)
        except UNREADABLE:
            return self._one_by_one(window[0])
        if len(facts) != len(columns[0]):  # a line's end within what is no state of ours
            return self._one_by_one(window[0])
        events: list[Told[Any]] = list(map(Told, *columns, facts))
        if SEALED.isdisjoint(map(type, facts)):
            return events, None
        personal = [n for n, fact in enumerate(facts) if type(fact) in SEALED]
        return unsealed(events, personal, self._keys, None)

    def _one_by_one(
        self, positions: Sequence[int]
    ) -> tuple[Sequence[Told[Any]], Undecodable | None]:
        """One of these is bad: which, and what comes before it."""
        statement = READ_ROWS.format(columns=COLUMNS, table=self._table)
        with psycopg.connect(self._conninfo, row_factory=tuple_row) as connection:
            cursor = connection.cursor(binary=True)
            rows = cursor.execute(statement, {"positions": positions}).fetchall()
        return sound(rows, self._keys)

    def _statement(self, some: bool) -> Composed:  # noqa: FBT001 - the one thing it depends on
        return READ_WINDOWS.format(
            columns=COLUMNS,
            table=self._table,
            which=NOT_THESE if some else SQL(""),
            window=WINDOW,
        )
