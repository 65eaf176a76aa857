"""Reads from Postgres that always end: with rows, or in time with ``OutOfReach``.

A read that hangs is ended by cutting its wire. Cancelling it would not do: psycopg then waits
for the server to confirm, and a server that is frozen never does.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from api.platform import ReadPool
from domain.ports import OutOfReach

CONNECT_TIMEOUT_S: Final = 2
RECONNECT_FOR_S: Final = 5.0
"""Then the pool starts its attempts anew, with short pauses again."""


@asynccontextmanager
async def open_pool(conninfo: str, *, most: int) -> AsyncIterator[ReadPool]:
    """A pool for reads: every statement its own transaction, times in UTC.

    It opens in the background, so that a process may start before its database.
    """
    pool: ReadPool = AsyncConnectionPool(
        conninfo,
        min_size=min(2, most),
        max_size=most,
        open=False,
        kwargs={
            "autocommit": True,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "prepare_threshold": 1,
            "options": "-c timezone=UTC -c default_transaction_read_only=on",
        },
        reconnect_timeout=RECONNECT_FOR_S,
        name="reads",
    )
    await pool.open(wait=False)
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def reading(pool: ReadPool, deadline_s: float) -> AsyncIterator[AsyncConnection[Any]]:
    """A connection for at most ``deadline_s`` seconds.

    Raises:
        OutOfReach: the database did not answer in time, or is not there.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + deadline_s
    try:
        async with pool.connection(timeout=deadline_s) as connection:
            timer = loop.call_later(max(0.0, ends - loop.time()), _cut, connection)
            try:
                yield connection
            finally:
                timer.cancel()
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise OutOfReach from error


def _cut(connection: AsyncConnection[Any]) -> None:
    with (
        suppress(OSError, OperationalError),
        socket.socket(fileno=os.dup(connection.fileno())) as wire,
    ):
        wire.shutdown(socket.SHUT_RDWR)
