"""Where a loop has got to, and what it had worked out by then, over restarts."""

from __future__ import annotations

import psycopg
from msgspec import Struct

READ = "SELECT position, state FROM owl_log.loop_checkpoints WHERE name = %s"
# never back: a slow leader of yesterday must not undo what today's has reached
KEEP = """
    INSERT INTO owl_log.loop_checkpoints AS kept (name, position, state)
    VALUES (%s, %s, %s)
    ON CONFLICT (name) DO UPDATE
    SET position = excluded.position, state = excluded.state, kept_at = clock_timestamp()
    WHERE kept.position < excluded.position
"""
CONNECT_S = 3


class Checkpoint(Struct, frozen=True):
    """A position, and whatever its loop keeps with it."""

    position: int
    state: bytes


class Checkpoints:
    """The rows of ``owl_log.loop_checkpoints``. Rarely used: a connection for each use."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo

    async def read(self, name: str) -> Checkpoint | None:
        """What was kept last under ``name``."""
        async with await self._connect() as connection:
            cursor = await connection.execute(READ, (name,))
            row = await cursor.fetchone()
        return None if row is None else Checkpoint(row[0], row[1])

    async def keep(self, name: str, position: int, state: bytes = b"") -> None:
        """Keep ``position``, unless a higher one is kept already."""
        async with await self._connect() as connection:
            await connection.execute(KEEP, (name, position, state))

    async def _connect(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(
            self._conninfo, autocommit=True, connect_timeout=CONNECT_S
        )
