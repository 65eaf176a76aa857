"""A team's lease, in PostgreSQL: one holder at a time, by the server's clock, and a fence.

The epoch grows at each change of holder. Who was paused and overtaken finds out at its next
renewal; what it still tries to commit under its old fence is refused by the log.
Source: the fencing tokens of Kleppmann, "How to do distributed locking" (2016).
"""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg

from domain.envelope import Fence
from domain.ports import OutOfReach

CONNECT_TIMEOUT_S = 2
STATEMENT_TIMEOUT_MS = 2_000
ANSWER_TIMEOUT_S = 3.0

SET_TIMEOUT = "SELECT set_config('statement_timeout', %(timeout_ms)s, false)"
# A released lease (no holder) or an overdue one is free. The same holder takes it anew as well:
# then it was restarted, and what it had begun must not commit.
ACQUIRE = """
    INSERT INTO owl_log.leases AS lease (name, holder, epoch, expires_at)
    VALUES (%(name)s, %(holder)s, 1, clock_timestamp() + make_interval(secs => %(ttl_s)s))
    ON CONFLICT (name) DO UPDATE
    SET holder = EXCLUDED.holder, epoch = lease.epoch + 1, expires_at = EXCLUDED.expires_at
    WHERE lease.holder IS NULL OR lease.holder = EXCLUDED.holder
        OR lease.expires_at < clock_timestamp()
    RETURNING epoch
"""
RENEW = """
    UPDATE owl_log.leases
    SET expires_at = clock_timestamp() + make_interval(secs => %(ttl_s)s)
    WHERE name = %(name)s AND holder = %(holder)s AND epoch = %(epoch)s
    RETURNING epoch
"""
RELEASE = """
    UPDATE owl_log.leases SET holder = NULL, expires_at = clock_timestamp()
    WHERE name = %(name)s AND holder = %(holder)s AND epoch = %(epoch)s
    RETURNING epoch
"""


class TeamLease:
    """A would-be holder of the lease of team ``name``; ``holder`` is unique to this process."""

    def __init__(self, conninfo: str, name: str, holder: str, ttl_s: float = 5) -> None:
        self._conninfo = conninfo
        self._name = name
        self._holder = holder
        self._ttl_s = ttl_s
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def acquire(self) -> Fence | None:
        """Become the holder; ``None`` while somebody else is.

        Raises:
            OutOfReach: the server is not there.
        """
        epoch = await self._ask(ACQUIRE, {})
        return None if epoch is None else Fence(self._name, epoch)

    async def renew(self, fence: Fence) -> bool:
        """Hold on for another ``ttl_s``; false when somebody else has taken over.

        Raises:
            OutOfReach: the server is not there; the lease may still be held.
        """
        return await self._ask(RENEW, {"epoch": fence.epoch}) is not None

    async def release(self, fence: Fence) -> None:
        """Let another one take over at once, and close."""
        try:
            await self._ask(RELEASE, {"epoch": fence.epoch})
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the connection; the lease, if held, runs out by itself."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _ask(self, statement: str, more: dict[str, Any]) -> int | None:
        parameters = {"name": self._name, "holder": self._holder, "ttl_s": self._ttl_s, **more}
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                connection = await self._connected()
                row = await (await connection.execute(statement, parameters)).fetchone()
        except (psycopg.OperationalError, TimeoutError) as error:
            await self.close()
            raise OutOfReach(str(error)) from error
        return None if row is None else int(row[0])

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(
                self._conninfo, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
            )
            await self._connection.execute(
                SET_TIMEOUT, {"timeout_ms": str(STATEMENT_TIMEOUT_MS)}
            )
        return self._connection
