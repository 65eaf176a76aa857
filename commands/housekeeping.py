"""Housekeeping: what is kept for a time goes when the time is over, a little at a go.

Receipts are kept for a day: so long may a client repeat a request under its idempotency key.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

import psycopg
import structlog
from msgspec import Struct

from domain.envelope import Fence
from domain.ports import Clock

LOG = structlog.get_logger(__name__)

# a bounded share at a time: no long transaction, no pile of dead rows for one vacuum
FORGET_RECEIPTS: Final = """
    DELETE FROM owl_private.receipts WHERE key_id IN (
        SELECT key_id FROM owl_private.receipts
        WHERE recorded_at < %(before)s ORDER BY recorded_at LIMIT %(most)s
    )
"""
CONNECT_S: Final = 3


class Config(Struct, frozen=True, kw_only=True):
    """How long receipts are kept, how often it looks, how much goes at a time."""

    receipts_kept: timedelta = timedelta(hours=24)
    look_every_s: float = 600.0
    rows_at_once: int = 1_000


class Housekeeping:
    """The loop; led by one worker."""

    name = "housekeeping"

    def __init__(self, conninfo: str, *, clock: Clock, config: Config | None = None) -> None:
        self._conninfo = conninfo
        self._clock = clock
        self._config = Config() if config is None else config

    async def run(self, _fence: Fence) -> None:
        """Look now and then until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(self._config.look_every_s)

    async def step(self) -> int:
        """Forget all receipts that are too old; returns how many."""
        before: datetime = self._clock() - self._config.receipts_kept
        most = self._config.rows_at_once
        forgotten = 0
        async with await psycopg.AsyncConnection.connect(
            self._conninfo, autocommit=True, connect_timeout=CONNECT_S
        ) as connection:
            while True:
                cursor = await connection.execute(
                    FORGET_RECEIPTS, {"before": before, "most": most}
                )
                forgotten += cursor.rowcount
                if cursor.rowcount < most:
                    break
        if forgotten:
            LOG.info("receipts.forgotten", receipts=forgotten)
        return forgotten
