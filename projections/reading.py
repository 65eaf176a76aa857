"""Reads from Postgres that always end: with rows, or in time with ``OutOfReach``.

A read that hangs is ended by cutting its wire. Cancelling it would not do: psycopg then waits
for the server to confirm, and a server that is frozen never does. The pool throws away a
connection that was cut.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from domain.ports import OutOfReach


@asynccontextmanager
async def reading(
    pool: AsyncConnectionPool[Any], deadline_s: float
) -> AsyncIterator[AsyncConnection[Any]]:
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
