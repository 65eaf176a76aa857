"""The way to the throttles' counts in Postgres: no question outlasts its deadline.

A server that is frozen confirms no cancellation, so an overdue statement is ended by its wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from commands.overdue import cut
from domain.ports import OutOfReach

_OPTIONS: Final = "-c synchronous_commit=off -c timezone=UTC -c statement_timeout=2000"
"""A crash may forget the tries of its last half second; no guess has to wait for a disk."""


class Counts:
    """A few connections; open them on the event loop that uses them."""

    def __init__(self, conninfo: str, *, most: int, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(
            conninfo,
            min_size=1,
            max_size=most,
            open=False,
            kwargs={
                "autocommit": True,
                "prepare_threshold": 1,
                "connect_timeout": 2,
                "options": _OPTIONS,
            },
            reconnect_timeout=5.0,
            name="throttles",
        )

    async def open(self) -> None:
        """Begin to connect; does not wait for it."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """End all connections."""
        await self._pool.close(timeout=self._deadline_s)

    async def row(self, statement: str, parameters: dict[str, Any]) -> Any:
        """The first row of the answer, if it has any.

        Raises:
            OutOfReach: it did not come in time.
        """
        async with self._connection() as connection:
            return await (await connection.execute(statement, parameters)).fetchone()

    async def execute(self, statement: str, parameters: dict[str, Any]) -> None:
        """Do it.

        Raises:
            OutOfReach: it was not done in time.
        """
        async with self._connection() as connection:
            await connection.execute(statement, parameters)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        deadline_s = self._deadline_s
        loop = asyncio.get_running_loop()
        ends = loop.time() + deadline_s
        try:
            async with self._pool.connection(timeout=deadline_s) as connection:
                timer = loop.call_later(max(0.0, ends - loop.time()), cut, connection)
                try:
                    yield connection
                finally:
                    timer.cancel()
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise OutOfReach("the throttles cannot be asked") from error
