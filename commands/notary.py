"""The notary: keeps the Merkle tree over the log, and signs how far and to what it has grown.

It follows the log after the commit, so the write path waits for nothing. At once when the log
was at rest, and once a second while it grows, one statement stores the tree's new hashes and a
signed checkpoint. While it is behind, it rests as long as it works, so that it never takes more
than half a core from whoever writes; that is still some ten times what one writer appends. It
never signs a tree that does not grow out of the last one that is kept: who deletes them all has
it sign anew, and contradicts whoever holds one outside. When the log says that another key
signs from now on, the very checkpoint that covers that event is signed by it.
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
    """For one step; at the end of its process nobody waits longer for a server that hangs."""


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
        config: Config | None = None,
    ) -> None:
        self._conninfo = conninfo
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
            remembered_at = -inf
            while True:
                began_at = loop.time()
                count = await loop.run_in_executor(thread, session.step, fence)
                if began_at - remembered_at >= self._config.remember_every_s:
                    await loop.run_in_executor(thread, session.remember)
                    remembered_at = began_at
                if count < self._config.events_max:
                    await self._committed.wait(session.tree.size, self._config.interval_s)
                    await asyncio.sleep(began_at + self._config.interval_s - loop.time())
                else:
                    await asyncio.sleep(loop.time() - began_at)
        finally:
            # a cancelled step may still be at work: the connection is closed behind it
            thread.submit(opened.close)
            thread.shutdown(wait=False)

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
        self.tree = Tree()
        self._newest: str | None = None
        self._remembered = remembered
        self._connection = connection
        self._keys = KeysAtHand(keys)
        self._chain = KeyChain(((0, VerifierKey("", self._keys.own.public_key)),))
        self._clock = clock
        self._config = config

    def step(self, fence: Fence) -> int:
        """Take in what is new, at most ``events_max``, and sign; how many events that were.

        Raises:
            psycopg.OperationalError: the server did not answer in time.
        """
        with ended_after(self._config.deadline_s, self._connection):
            return self._step(fence)

    def _step(self, fence: Fence) -> int:
        grown, chain, tiles = self.tree, self._chain, dict[tuple[int, int], Tile]()
        while grown.size - self.tree.size < self._config.events_max:
            bounds = {"after": grown.size, "limit": self._config.read_together}
            rows: list[Any] = self._rows(READ_EVENTS, bounds)
            if not rows:
                break
            if rows[0][0] != grown.size + 1 or rows[-1][0] != grown.size + len(rows):
                raise HistoryAltered(f"the log has a gap after position {grown.size}")
            chain = with_rotations(chain, rows)
            grown, changed = grown.with_leaves(leaves_of(rows))
            tiles.update({(tile.level, tile.number): tile for tile in changed})
            if len(rows) < self._config.read_together:
                break
        count = grown.size - self.tree.size
        if count:
            self._keep(grown, chain.at(grown.size), list(tiles.values()), fence)
            self.tree, self._chain = grown, chain
        return count

    def resume(self) -> None:
        """Take up the tree that was signed last.

        Raises:
            HistoryAltered: what is stored is not what was signed, here or as is remembered.
        """
        found = take_up(self._rows, self._keys.own.public_key, self._remembered)
        self.tree, self._chain, self._newest = found.tree, found.chain, found.note

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
