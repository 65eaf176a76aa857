"""Housekeeping: what is kept for a time goes when the time is over, a little at a go.

Receipts are kept for a day: so long may a client repeat a request under its idempotency key.
Lines of the system log are kept for the days that the configuration says.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from typing import Any, Final, LiteralString

import psycopg
import structlog
from msgspec import Struct
from psycopg import AsyncConnection

from commands.configuration import ConfigurationNow, ReadConfiguration, read_configuration
from domain.envelope import Actor, Context, Fence
from domain.ports import Clock, CommandWriter, Ids
from domain.system.configuration import Configuration

LOG = structlog.get_logger(__name__)

# a bounded share at a time: no long transaction, no pile of dead rows for one vacuum
FORGET_RECEIPTS: Final = """
    DELETE FROM owl_private.receipts WHERE key_id IN (
        SELECT key_id FROM owl_private.receipts
        WHERE recorded_at < %(before)s ORDER BY recorded_at LIMIT %(most)s
    )
"""
FORGET_LINES: Final = """
    DELETE FROM owl_log.system_log WHERE line_id IN (
        SELECT line_id FROM owl_log.system_log
        WHERE logged_at < %(first_day)s::timestamp AT TIME ZONE 'UTC'
        ORDER BY logged_at, line_id LIMIT %(most)s
    )
"""
FORGET_COUNTS: Final = "DELETE FROM owl_log.system_log_counts WHERE day < %(first_day)s"
CONNECT_S: Final = 3


class Config(Struct, frozen=True, kw_only=True):
    """How long receipts are kept, how often it looks, how much goes at a time."""

    receipts_kept: timedelta = timedelta(hours=24)
    look_every_s: float = 600.0
    rows_at_once: int = 1_000


class Housekeeping:
    """The loop; led by one worker."""

    name = "housekeeping"

    def __init__(
        self,
        conninfo: str,
        writer: CommandWriter,
        ids: Ids,
        *,
        clock: Clock,
        config: Config | None = None,
    ) -> None:
        self._conninfo = conninfo
        self._writer = writer
        self._ids = ids
        self._clock = clock
        self._config = Config() if config is None else config

    async def run(self, _fence: Fence) -> None:
        """Look now and then until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(self._config.look_every_s)

    async def step(self) -> int:
        """Forget all that is too old; returns how much."""
        configuration = await self._configuration()
        now = self._clock()
        first_day = now.astimezone(UTC).date() - timedelta(days=configuration.system_log_days)
        async with await psycopg.AsyncConnection.connect(
            self._conninfo, autocommit=True, connect_timeout=CONNECT_S
        ) as connection:
            before = {"before": now - self._config.receipts_kept}
            receipts = await self._forget(connection, FORGET_RECEIPTS, before)
            await connection.execute(FORGET_COUNTS, {"first_day": first_day})
            lines = await self._forget(connection, FORGET_LINES, {"first_day": first_day})
        if receipts or lines:
            LOG.info("housekeeping.forgotten", receipts=receipts, system_log_lines=lines)
        return receipts + lines

    async def _forget(
        self, connection: AsyncConnection[Any], statement: LiteralString, which: dict[str, Any]
    ) -> int:
        most, forgotten = self._config.rows_at_once, 0
        while True:
            cursor = await connection.execute(statement, {**which, "most": most})
            forgotten += cursor.rowcount
            if cursor.rowcount < most:
                return forgotten

    async def _configuration(self) -> Configuration:
        command_id = self._ids()
        committed = await self._writer.run(
            read_configuration,
            ReadConfiguration(),
            Context(
                command_id=command_id,
                actor=Actor("system", self.name),
                correlation_id=str(command_id),
            ),
        )
        found: ConfigurationNow = committed.result
        return found.configuration
