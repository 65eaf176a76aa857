"""The log and its tree as they lie in the tables, raw: for hashing and for handing over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self
from uuid import UUID

import psycopg
from msgspec import Struct
from psycopg.types.numeric import Int8BinaryLoader
from psycopg.types.string import ByteaBinaryLoader

from domain.audit.canonical import StoredEvent
from domain.audit.merkle import NodeAt
from domain.audit.rotation import Link
from domain.audit.tiles import TilesMissing, node_in
from domain.ids import LOG_KEYS_STREAM
from domain.system.log_keys import link_of

CONNECT_S: Final = 3
CHUNK: Final = 4096
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# In the canonical envelope's order. An interval of seconds moves PostgreSQL's epoch (2000) to
# 1970, and the instant is then read as the plain number of microseconds that it is.
READ_EVENTS = """
    SELECT notification_id, originator_id, originator_version, topic,
        recorded_at + interval '946684800 s',
        actor, correlation_id, causation_id, command_id, state
    FROM owl_log.events WHERE notification_id > %(after)s AND notification_id <= %(until)s
    ORDER BY notification_id
"""
SET_TIMEOUT = "SELECT set_config('statement_timeout', %(timeout_ms)s, false)"
READ_HEAD = "SELECT coalesce(max(notification_id), 0) FROM owl_log.events"
READ_FIRST = "SELECT min(notification_id) FROM owl_log.events"
READ_ORIGIN = "SELECT origin FROM owl_log.identity"
READ_CHECKPOINTS = """
    SELECT size, note FROM owl_log.signed_checkpoints WHERE size > %(after)s ORDER BY size
"""
READ_ROTATIONS = """
    SELECT notification_id, state FROM owl_log.events
    WHERE originator_id = %(stream)s ORDER BY notification_id
"""
READ_POSITION = """
    SELECT notification_id FROM owl_log.events
    WHERE originator_id = %(stream)s AND originator_version = %(version)s
"""
READ_CHECKPOINT_FOR = """
    SELECT note FROM owl_log.signed_checkpoints WHERE size >= %(size)s ORDER BY size LIMIT 1
"""
READ_LAST_CHECKPOINT = """
    SELECT note FROM owl_log.signed_checkpoints ORDER BY size DESC LIMIT 1
"""
READ_CHECKPOINTS_UPTO = """
    SELECT size, note, signed_at + interval '946684800 s' FROM owl_log.signed_checkpoints
    WHERE (%(size)s::bigint IS NULL OR size <= %(size)s)
        AND (%(at)s::timestamptz IS NULL OR signed_at <= %(at)s)
    ORDER BY size DESC LIMIT %(limit)s
"""
READ_SIGNED_SIZE = "SELECT coalesce(max(size), 0) FROM owl_log.signed_checkpoints"
READ_LEAF_TILES = """
    SELECT number, hashes FROM owl_log.tiles
    WHERE level = %(level)s AND number >= %(first)s AND number <= %(last)s
"""
READ_TILE = """
    SELECT hashes FROM owl_log.tiles WHERE level = %(level)s AND number = %(number)s
"""


class SignedNote(Struct, frozen=True):
    """A checkpoint as it is kept."""

    size: int
    note: str


class SignedThen(Struct, frozen=True):
    """A checkpoint, and when it was signed."""

    size: int
    note: str
    signed_at: datetime


class StoredLog:
    """Reads in short statements, so that it never holds an old snapshot of the database."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        connection.adapters.register_loader("uuid", ByteaBinaryLoader)
        connection.adapters.register_loader("timestamptz", Int8BinaryLoader)

    @classmethod
    def open(cls, conninfo: str, *, statement_timeout_s: float = 0) -> Self:
        """On a connection of its own, read only; close it. 0: a statement may take any time."""
        connection = psycopg.connect(conninfo, autocommit=True, connect_timeout=CONNECT_S)
        connection.read_only = True
        if statement_timeout_s:
            timeout = {"timeout_ms": f"{round(statement_timeout_s * 1000)}"}
            connection.execute(SET_TIMEOUT, timeout)
        return cls(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def head(self) -> int:
        """The highest position, 0 when the log is empty."""
        return int(self._rows(READ_HEAD, {})[0][0])

    def first(self) -> int | None:
        """The lowest position, which is 1 in a log that nobody has touched; none when empty."""
        first: int | None = self._rows(READ_FIRST, {})[0][0]
        return first

    def origin(self) -> str:
        """The log's name."""
        return str(self._rows(READ_ORIGIN, {})[0][0])

    def position_of(self, stream: UUID, version: int) -> int | None:
        """Where the event of a stream with this version stands."""
        rows = self._rows(READ_POSITION, {"stream": stream, "version": version})
        return int(rows[0][0]) if rows else None

    def chunks(self, after: int, until: int) -> Iterator[list[Any]]:
        """The events above ``after`` up to ``until``, those of some thousand positions at once.

        Plain tuples, as they come: whoever wants names makes a ``StoredEvent`` of one.
        """
        while after < until:
            # ends at a multiple of the chunk, so that tiles are met whole
            upto = min(until, after - after % CHUNK + CHUNK)
            yield self._rows(READ_EVENTS, {"after": after, "until": upto})
            after = upto

    def events(self, after: int, until: int) -> Iterator[StoredEvent]:
        """The same one by one, with names."""
        for rows in self.chunks(after, until):
            for row in rows:
                yield StoredEvent(*row)

    def links(self) -> list[Link]:
        """Every change of the key that signs."""
        stream = {"stream": LOG_KEYS_STREAM}
        return [link_of(*row) for row in self._rows(READ_ROTATIONS, stream)]

    def checkpoints(self, after: int = 0) -> list[SignedNote]:
        """All that the notary has signed over more than ``after`` events."""
        return [SignedNote(*row) for row in self._rows(READ_CHECKPOINTS, {"after": after})]

    def checkpoint_for(self, position: int) -> str | None:
        """The first checkpoint that covers ``position``; none when it is too new."""
        rows = self._rows(READ_CHECKPOINT_FOR, {"size": position})
        return str(rows[0][0]) if rows else None

    def last_checkpoint(self) -> str | None:
        """The newest checkpoint."""
        rows = self._rows(READ_LAST_CHECKPOINT, {})
        return str(rows[0][0]) if rows else None

    def checkpoints_upto(self, at: int | datetime | None, limit: int) -> list[SignedThen]:
        """The newest that there were at a position or a time, or are now; newest first."""
        moment = (
            {"at": at, "size": None} if isinstance(at, datetime) else {"at": None, "size": at}
        )
        rows = self._rows(READ_CHECKPOINTS_UPTO, {**moment, "limit": limit})
        return [
            SignedThen(size, note, EPOCH + timedelta(microseconds=at_us))
            for size, note, at_us in rows
        ]

    def signed_size(self) -> int:
        """How many events the newest checkpoint covers, 0 without any."""
        return int(self._rows(READ_SIGNED_SIZE, {})[0][0])

    def tiles(self, level: int, first: int, last: int) -> dict[int, bytes]:
        """The hashes of the tiles ``first`` to ``last`` of a level that are there."""
        bounds = {"level": level, "first": first, "last": last}
        return dict(self._rows(READ_LEAF_TILES, bounds))

    def node(self) -> NodeAt:
        """Finds any node of the tree in the tiles.

        Raises, when called:
            TilesMissing: the tile that holds it is not there.
        """
        known: dict[tuple[int, int], bytes] = {}

        def tile(level: int, number: int) -> bytes:
            if (level, number) not in known:
                rows = self._rows(READ_TILE, {"level": level, "number": number})
                if not rows:
                    raise TilesMissing(level, number)
                known[level, number] = rows[0][0]
            return known[level, number]

        return node_in(tile)

    def _rows(self, query: str, parameters: dict[str, Any]) -> list[Any]:
        with self.connection.cursor(binary=True) as cursor:
            return cursor.execute(query, parameters, prepare=True).fetchall()
