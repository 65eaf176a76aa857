"""The notary: keeps the Merkle tree over the log, and signs how far and to what it has grown.

It follows the log after the commit, so the write path waits for nothing. At once when the log
was at rest, and once a second while it grows, one statement stores the tree's new hashes and a
signed checkpoint. What is behind by more than one checkpoint takes in is left to be so for as
long as those who write need the whole machine, but not for more than half a minute. When there
is processor time to spare it signs for as long as it rests, else a quarter of the time.
It never signs a tree that does not grow out of the last one that is kept, in the database and
outside (``last_signed``). When the log says that another key signs from now on, the very
checkpoint that covers that event is signed by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from math import inf
from typing import Any

import psycopg
from msgspec import Struct
from psycopg.types.numeric import Int8BinaryLoader
from psycopg.types.string import ByteaBinaryLoader

from commands.last_signed import LastSigned
from commands.notary_resuming import HistoryAltered, take_up, with_rotations
from commands.overdue import ended_after
from commands.room import Room
from commands.signatures import Keys, KeysAtHand
from domain.audit.canonical import leaves_of
from domain.audit.checkpoint import Checkpoint, VerifierKey, signed
from domain.audit.rotation import KeyChain
from domain.audit.tiles import Tile, Tree
from domain.envelope import Fence
from domain.ports import Clock, FencedOff, Signal

# In the canonical envelope's order. An interval of seconds moves PostgreSQL's epoch (2000) to
# 1970, and the instant is then read as the plain number of microseconds that it is.
READ_EVENTS = """
    SELECT notification_id, originator_id, originator_version, topic,
        recorded_at + interval '946684800 s',
        actor, correlation_id, causation_id, command_id, state
    FROM owl_log.events WHERE notification_id > %(after)s
    ORDER BY notification_id LIMIT %(limit)s
"""
LEASE_LOST = "OW001"
# One statement is one transaction: the lease's row stays locked to its end.
KEEP = """
    WITH fenced AS MATERIALIZED (SELECT owl_log.require_lease(%(lease)s, %(epoch)s)),
    grown AS (
        INSERT INTO owl_log.tiles AS kept (level, number, hashes)
        SELECT level, number, hashes
        FROM fenced, unnest(%(levels)b::smallint[], %(numbers)b::bigint[], %(hashes)b::bytea[])
            AS tile (level, number, hashes)
        ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes
        WHERE octet_length(kept.hashes) < octet_length(excluded.hashes)
    )
    INSERT INTO owl_log.signed_checkpoints (size, note, signed_at)
    SELECT %(size)s, %(note)s, %(signed_at)s FROM fenced
"""
CONNECT_S = 3


class Config(Struct, frozen=True, kw_only=True):
    """A checkpoint at most so often, unless it is behind by so many events."""

    interval_s: float = 1.0
    events_max: int = 16_384
    read_together: int = 2048
    remember_every_s: float = 5.0
    deadline_s: float = 5.0
    """For one question; at the end of its process nobody waits longer for the server."""
    patience_s: float = 30.0
    """So long it is behind before it goes on although the machine has no room."""
    rests: float = 1.0
    """So many times as long as it works it rests, where there is room."""
    rests_without_room: float = 3.0
    look_every_s: float = 0.05


class Notary:
    """Read, hash, sign, wait."""

    name = "notary"

    def __init__(
        self,
        conninfo: str,
        keys: Keys,
        *,
        clock: Clock,
        committed: Signal,
        remembered: LastSigned | None = None,
        room: Room | None = None,
        config: Config | None = None,
    ) -> None:
        self._conninfo = conninfo
        self._room = Room() if room is None else room
        self._remembered = remembered
        self._keys = keys
        self._clock = clock
        self._committed = committed
        self._config = Config() if config is None else config

    async def run(self, fence: Fence) -> None:
        """Sign until cancelled.

        Raises:
            HistoryAltered: what is stored is not what was signed last.
            FencedOff: another process leads.
            psycopg.OperationalError: the server is out of reach; run again later.
        """
        loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, "notary")
        opened = ExitStack()
        try:
            session = await loop.run_in_executor(thread, opened.enter_context, self.resumed())
            remembered_at, behind_since, rests = -inf, inf, self._config.rests
            while True:
                began_at = piece_at = loop.time()
                while await loop.run_in_executor(thread, session.take_in):
                    await asyncio.sleep(rests * (loop.time() - piece_at))
                    piece_at = loop.time()
                count = await loop.run_in_executor(thread, session.sign, fence)
                if began_at - remembered_at >= self._config.remember_every_s:
                    await loop.run_in_executor(thread, session.remember)
                    remembered_at = began_at
                if count < self._config.events_max:
                    behind_since, rests = inf, self._config.rests
                    await self._committed.wait(session.tree.size, self._config.interval_s)
                    await asyncio.sleep(began_at + self._config.interval_s - loop.time())
                else:
                    behind_since = min(behind_since, began_at)
                    rests = await self._leave_room(behind_since + self._config.patience_s)
        finally:
            # a cancelled step may still be at work: the connection is closed behind it
            thread.submit(opened.close)
            thread.shutdown(wait=False)

    async def _leave_room(self, until: float) -> float:
        """Wait until the machine has room, but no longer than that; how to rest then."""
        clock = asyncio.get_running_loop().time
        while True:
            self._room.look()
            await asyncio.sleep(self._config.look_every_s)
            if self._room.is_there():
                return self._config.rests
            if clock() > until:
                return self._config.rests_without_room

    @contextmanager
    def resumed(self) -> Iterator[NotarySession]:
        """Connect, and take up the tree where it was signed last.

        Raises:
            HistoryAltered: what is stored is not what was signed.
            psycopg.OperationalError: the server did not answer in time.
        """
        with psycopg.connect(
            self._conninfo, autocommit=True, connect_timeout=CONNECT_S
        ) as connection:
            connection.adapters.register_loader("uuid", ByteaBinaryLoader)
            connection.adapters.register_loader("timestamptz", Int8BinaryLoader)
            session = NotarySession(
                connection, self._keys, self._clock, self._remembered, self._config
            )
            with ended_after(self._config.deadline_s, connection):
                session.resume()
            try:
                yield session
            finally:
                session.remember()


class NotarySession:
    """A connection, and the tree as it was signed last. Blocks: in a thread of its own.

    Measured: awaiting what the server sends costs twice what reading and hashing it do.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        keys: Keys,
        clock: Clock,
        remembered: LastSigned | None,
        config: Config,
    ) -> None:
        self.tree = self._grown = Tree()
        self._tiles = dict[tuple[int, int], Tile]()
        self._newest: str | None = None
        self._remembered = remembered
        self._connection = connection
        self._keys = KeysAtHand(keys)
        self._chain = KeyChain(((0, VerifierKey("", self._keys.own.public_key)),))
        self._clock = clock
        self._config = config

    def take_in(self) -> bool:
        """Read and hash the next events; whether there may be more of them to sign at once.

        Raises:
            HistoryAltered: the log has a gap.
            psycopg.OperationalError: the server did not answer in time.
        """
        size, most = self._grown.size, self._config.read_together
        with ended_after(self._config.deadline_s, self._connection):
            rows: list[Any] = self._rows(READ_EVENTS, {"after": size, "limit": most})
        if not rows:
            return False
        if rows[0][0] != size + 1 or rows[-1][0] != size + len(rows):
            raise HistoryAltered(f"the log has a gap after position {size}")
        self._chain = with_rotations(self._chain, rows)
        self._grown, changed = self._grown.with_leaves(leaves_of(rows))
        self._tiles.update({(tile.level, tile.number): tile for tile in changed})
        taken_in = self._grown.size - self.tree.size
        return len(rows) == most and taken_in < self._config.events_max

    def sign(self, fence: Fence) -> int:
        """Keep and sign the tree of all that was taken in; how many events that were.

        Raises:
            FencedOff: another process leads.
            psycopg.OperationalError: the server did not answer in time.
        """
        count = self._grown.size - self.tree.size
        if count:
            with ended_after(self._config.deadline_s, self._connection):
                key = self._chain.at(self._grown.size)
                self._keep(self._grown, key, list(self._tiles.values()), fence)
            self.tree = self._grown
            self._tiles.clear()
        return count

    def resume(self) -> None:
        """Take up the tree that was signed last.

        Raises:
            HistoryAltered: what is stored is not what was signed, here or as is remembered.
        """
        found = take_up(self._rows, self._keys.own.public_key, self._remembered)
        self.tree, self._newest = found.tree, found.note
        self._grown, self._chain = found.tree, found.chain

    def remember(self) -> None:
        """Keep outside what was signed last."""
        if self._remembered is not None and self._newest is not None:
            self._remembered.keep(self._newest)

    def _keep(self, tree: Tree, key: VerifierKey, tiles: Sequence[Tile], fence: Fence) -> None:
        checkpoint = Checkpoint(key.name, tree.size, tree.frontier.root)
        note = signed(checkpoint.text, key, self._keys.private(key).sign)
        kept = {
            "lease": fence.name,
            "epoch": fence.epoch,
            "levels": [tile.level for tile in tiles],
            "numbers": [tile.number for tile in tiles],
            "hashes": [tile.hashes for tile in tiles],
            "size": tree.size,
            "note": note,
            "signed_at": self._clock(),
        }
        try:
            self._connection.execute(KEEP, kept)
        except psycopg.Error as error:
            if error.sqlstate == LEASE_LOST:
                raise FencedOff(fence.name) from error
            raise
        self._newest = note

    def _rows(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        with self._connection.cursor(binary=True) as cursor:
            return cursor.execute(query, parameters).fetchall()
