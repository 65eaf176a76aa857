"""The pool of connections for reads, and how one is borrowed: see ``projections.reading``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from psycopg_pool import AsyncConnectionPool

from api.platform import ReadPool
from projections.reading import reading

__all__ = ["open_pool", "reading"]

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
