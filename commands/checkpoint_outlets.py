"""Checkpoints leave the house: the newest is published on NATS, and laid where files stay.

Best effort, tried again for ever: a newer checkpoint says all that an older one said, so what
could not be sent is not kept. Each outlet is a loop of its own, and none holds up the notary.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import unquote, urlsplit

import obstore
import psycopg
import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError
from nats.js.api import Header
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

from domain.envelope import Fence
from domain.fleet.messages import CHECKPOINTS

LOG = structlog.get_logger(__name__)

READ_NEWEST: Final = """
    SELECT size, note FROM owl_log.signed_checkpoints ORDER BY size DESC LIMIT 1
"""
CONNECT_S: Final = 3

Send: TypeAlias = Callable[[int, str], Awaitable[None]]
"""Hands on a checkpoint: its size, its note."""


class Config(Struct, frozen=True, kw_only=True):
    """How often it is looked, how long a sending may take, and how often files are made."""

    look_every_s: float = 1.0
    sending_s: float = 10.0
    file_every_s: float = 60.0


class Outlet:
    """Hands on the newest checkpoint, at most once in ``every_s``."""

    def __init__(
        self, name: str, conninfo: str, send: Send, *, every_s: float, config: Config
    ) -> None:
        self.name = name
        self._conninfo = conninfo
        self._send = send
        self._every_s = every_s
        self._config = config
        self._sent = 0
        self._is_failing = False

    async def run(self, _fence: Fence) -> None:
        """Look and send until cancelled; a checkpoint that is sent twice is the same one."""
        clock = asyncio.get_running_loop()
        async with await psycopg.AsyncConnection.connect(
            self._conninfo, autocommit=True, connect_timeout=CONNECT_S
        ) as connection:
            while True:
                began_at = clock.time()
                sent = await self.step(connection)
                pause_s = self._every_s if sent else self._config.look_every_s
                await asyncio.sleep(max(0.0, began_at + pause_s - clock.time()))

    async def step(self, connection: psycopg.AsyncConnection[Any]) -> bool:
        """Send the newest checkpoint, unless that is done; whether one was sent."""
        row = await (await connection.execute(READ_NEWEST)).fetchone()
        if row is None or row[0] == self._sent:
            return False
        try:
            async with asyncio.timeout(self._config.sending_s):
                await self._send(*row)
        except (NatsError, BaseError, OSError) as failure:  # TimeoutError is an OSError
            if not self._is_failing:
                LOG.warning("checkpoint.not_handed_on", outlet=self.name, why=repr(failure))
            self._is_failing = True
            return False
        self._sent, self._is_failing = row[0], False
        return True


def to_stream(conninfo: str, client: Client, *, config: Config | None = None) -> Outlet:
    """Every second the newest goes to the stream ``OWL_CHECKPOINTS``."""
    bounds = config or Config()
    broker = client.jetstream(timeout=bounds.sending_s)

    async def send(size: int, note: str) -> None:
        if not client.is_connected:
            raise ConnectionClosedError
        headers = {Header.MSG_ID.value: str(size)}
        await broker.publish(CHECKPOINTS, note.encode(), headers=headers)

    every_s = bounds.look_every_s
    return Outlet("checkpoints-stream", conninfo, send, every_s=every_s, config=bounds)


def to_files(conninfo: str, url: str, *, config: Config | None = None) -> Outlet:
    """Every minute the newest becomes a file below ``url``, which is never written again.

    ``url``: ``file:///path`` or ``s3://bucket/prefix``; a place that keeps what it is given.
    """
    bounds = config or Config()
    parts = urlsplit(url)
    if parts.scheme == "file":
        Path(unquote(parts.path)).mkdir(parents=True, exist_ok=True)
    store = from_url(url)

    async def send(size: int, note: str) -> None:
        origin = note.partition("\n")[0]
        try:
            await obstore.put_async(
                store, f"{origin}/{size:020}.checkpoint", note.encode(), mode="create"
            )
        except AlreadyExistsError:
            return  # handed on before a restart

    every_s = bounds.file_every_s
    return Outlet("checkpoints-files", conninfo, send, every_s=every_s, config=bounds)
