"""The notary: keeps the Merkle tree over the log, and signs how far and to what it has grown.

It follows the log after the commit, so the write path waits for nothing. Once a second, when
there is something new, one transaction stores the tree's new hashes and a signed checkpoint. It
never signs a tree that does not grow out of the last one that it signed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct
from psycopg.types.numeric import Int8BinaryLoader
from psycopg.types.string import ByteaBinaryLoader

from domain.audit.canonical import leaves_of
from domain.audit.checkpoint import Checkpoint, NoteInvalid, Sign, VerifierKey, parts, signed
from domain.audit.tiles import Tile, TilesMissing, Tree, edge_places
from domain.envelope import Fence
from domain.ports import Clock, FencedOff, Signal

LOG = structlog.get_logger(__name__)

READ_IDENTITY = "SELECT origin FROM owl_log.identity"
READ_LAST = "SELECT note FROM owl_log.signed_checkpoints ORDER BY size DESC LIMIT 1"
READ_TILES = """
    SELECT level, number, hashes FROM owl_log.tiles
    JOIN unnest(%(levels)s::smallint[], %(numbers)s::bigint[]) AS place (level, number)
        USING (level, number)
"""
# In the canonical envelope's order. An interval of seconds moves PostgreSQL's epoch (2000) to
# 1970, and the instant is then read as the plain number of microseconds that it is.
READ_EVENTS = """
    SELECT notification_id, originator_id, originator_version, topic,
        recorded_at + interval '946684800 s',
        actor, correlation_id, causation_id, command_id, state
    FROM owl_log.events WHERE notification_id > %(after)s
    ORDER BY notification_id LIMIT %(limit)s
"""
REQUIRE_LEASE = "SELECT owl_log.require_lease(%(name)s, %(epoch)s)"
LEASE_LOST = "OW001"
KEEP_TILE = """
    INSERT INTO owl_log.tiles AS kept (level, number, hashes)
    VALUES (%(level)s, %(number)s, %(hashes)s)
    ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes
    WHERE octet_length(kept.hashes) < octet_length(excluded.hashes)
"""
KEEP_CHECKPOINT = """
    INSERT INTO owl_log.signed_checkpoints (size, note, signed_at)
    VALUES (%(size)s, %(note)s, %(signed_at)s)
"""
CONNECT_S = 3


class HistoryAltered(Exception):
    """The stored tree is not what was signed: run ``owl audit verify`` to learn where."""


class Config(Struct, frozen=True, kw_only=True):
    """A checkpoint at most so often, unless so many events have come."""

    interval_s: float = 1.0
    events_max: int = 4096
    read_together: int = 1024


class SigningKey:
    """The notary's Ed25519 key, from the 32 bytes of its seed."""

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> bytes:
        """Its 32 public bytes."""
        return self._private.public_key().public_bytes_raw()

    @property
    def sign(self) -> Sign:
        """Signs a message."""
        return self._private.sign


class Notary:
    """Read, hash, sign, wait."""

    name = "notary"

    def __init__(
        self,
        conninfo: str,
        key: SigningKey,
        *,
        clock: Clock,
        committed: Signal,
        config: Config | None = None,
    ) -> None:
        self._conninfo = conninfo
        self._key = key
        self._clock = clock
        self._committed = committed
        self._config = Config() if config is None else config

    async def run(self, fence: Fence) -> None:
        """Sign until cancelled.

        Raises:
            HistoryAltered: what is stored is not what was signed last.
            FencedOff: another process leads.
        """
        clock = asyncio.get_running_loop()
        async with self.resumed() as session:
            while True:
                signed_at = clock.time()
                if await session.step(fence) < self._config.events_max:
                    await self._committed.wait(session.tree.size, self._config.interval_s)
                    await asyncio.sleep(signed_at + self._config.interval_s - clock.time())

    @asynccontextmanager
    async def resumed(self) -> AsyncIterator[NotarySession]:
        """Connect, and take up the tree where it was signed last.

        Raises:
            HistoryAltered: what is stored is not what was signed.
        """
        async with await psycopg.AsyncConnection.connect(
            self._conninfo, autocommit=True, connect_timeout=CONNECT_S
        ) as connection:
            connection.adapters.register_loader("uuid", ByteaBinaryLoader)
            connection.adapters.register_loader("timestamptz", Int8BinaryLoader)
            session = NotarySession(connection, self._key, self._clock, self._config)
            await session.resume()
            yield session


class NotarySession:
    """A connection, and the tree as it was signed last."""

    def __init__(
        self,
        connection: psycopg.AsyncConnection[Any],
        key: SigningKey,
        clock: Clock,
        config: Config,
    ) -> None:
        self.tree = Tree()
        self._connection = connection
        self._key = key
        self._clock = clock
        self._config = config
        self._signer = VerifierKey("", key.public_key)

    async def step(self, fence: Fence) -> int:
        """Take in what is new, at most ``events_max``, and sign; how many events that were."""
        grown, tiles = self.tree, dict[tuple[int, int], Tile]()
        while grown.size - self.tree.size < self._config.events_max:
            bounds = {"after": grown.size, "limit": self._config.read_together}
            rows = await self._rows(READ_EVENTS, bounds)
            if not rows:
                break
            if rows[0][0] != grown.size + 1 or rows[-1][0] != grown.size + len(rows):
                raise HistoryAltered(f"the log has a gap after position {grown.size}")
            # in a thread: a burst of hashing must not hold up the other loops
            grown, changed = await asyncio.to_thread(_grow, grown, rows)
            tiles.update({(tile.level, tile.number): tile for tile in changed})
        count = grown.size - self.tree.size
        if count:
            await self._keep(grown, list(tiles.values()), fence)
            self.tree = grown
        return count

    async def resume(self) -> None:
        """Read the tree that was signed last, and check that it is that."""
        origin = (await self._rows(READ_IDENTITY))[0][0]
        self._signer = VerifierKey(origin, self._key.public_key)
        last = await self._rows(READ_LAST)
        if not last:
            return
        checkpoint = self._signed_by_us(last[0][0])
        places = edge_places(checkpoint.size)
        wanted = {"levels": [at for at, _ in places], "numbers": [n for _, n in places]}
        stored = await self._rows(READ_TILES, wanted)
        try:
            tree = Tree.of(checkpoint.size, {(at, n): hashes for at, n, hashes in stored})
        except TilesMissing as error:
            raise HistoryAltered(str(error)) from error
        if tree.frontier.root != checkpoint.root:
            raise HistoryAltered(
                f"the stored hashes do not give the root signed at {checkpoint.size}"
            )
        LOG.info("notary.resumes", size=tree.size, key=str(self._signer))
        self.tree = tree

    def _signed_by_us(self, note: str) -> Checkpoint:
        try:
            checkpoint = Checkpoint.parse(parts(note)[0])
        except NoteInvalid as error:
            raise HistoryAltered(f"the last checkpoint does not read: {error}") from error
        # Ed25519 signatures are deterministic: to sign again is to compare
        if note != signed(checkpoint.text, self._signer, self._key.sign):
            raise HistoryAltered(f"the checkpoint of size {checkpoint.size} is not by this key")
        return checkpoint

    async def _keep(self, tree: Tree, tiles: Sequence[Tile], fence: Fence) -> None:
        checkpoint = Checkpoint(self._signer.name, tree.size, tree.frontier.root)
        row = {
            "size": tree.size,
            "note": signed(checkpoint.text, self._signer, self._key.sign),
            "signed_at": self._clock(),
        }
        stored = [
            {"level": tile.level, "number": tile.number, "hashes": tile.hashes}
            for tile in tiles
        ]
        connection, held = self._connection, {"name": fence.name, "epoch": fence.epoch}
        try:
            async with connection.transaction(), connection.cursor() as cursor:
                await cursor.execute(REQUIRE_LEASE, held)
                await cursor.executemany(KEEP_TILE, stored)
                await cursor.execute(KEEP_CHECKPOINT, row)
        except psycopg.Error as error:
            if error.sqlstate == LEASE_LOST:
                raise FencedOff(fence.name) from error
            raise

    async def _rows(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        async with self._connection.cursor(binary=True) as cursor:
            await cursor.execute(query, parameters)
            return await cursor.fetchall()


def _grow(tree: Tree, rows: Sequence[Any]) -> tuple[Tree, list[Tile]]:
    return tree.with_leaves(leaves_of(rows))
