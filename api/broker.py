"""The connection of a process to NATS: made in the background, mended for ever.

Law: nothing that a client of the API can see waits for the broker.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from commands.signals import COMMITTED, PROJECTED, NatsSignal

LOG = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 2
RECONNECT_WAIT_S = 1
DRAIN_TIMEOUT_S = 5
REPEAT_WARNING_S = 60.0


class Broker:
    """A NATS client and the platform's signals on it; usable before the broker answers."""

    def __init__(self, url: str, *, name: str) -> None:
        self._servers = url.split(",")
        self._name = name
        self.client = Client()
        self._said, self._said_at = "", 0.0
        self._leaving = False

    async def __aenter__(self) -> Self:
        """Begin to connect; returns at once."""
        self.committed = NatsSignal(self.client, COMMITTED)
        self.projected = NatsSignal(self.client, PROJECTED)
        self._connecting = asyncio.create_task(self._connect(), name="broker")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Send what is left, then leave."""
        self._leaving = True
        self._connecting.cancel()
        with suppress(asyncio.CancelledError):
            await self._connecting
        await self.committed.close()
        await self.projected.close()
        with suppress(NatsError, TimeoutError):
            if self.client.is_connected:
                await self.client.drain()
            else:
                await self.client.close()

    def is_connected(self) -> bool:
        """Whether the broker answers now."""
        return self.client.is_connected

    async def _connect(self) -> None:
        await self.client.connect(
            self._servers,
            name=self._name,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            connect_timeout=CONNECT_TIMEOUT_S,
            reconnect_time_wait=RECONNECT_WAIT_S,
            drain_timeout=DRAIN_TIMEOUT_S,
            error_cb=self._note_error,
            disconnected_cb=self._note_disconnected,
            reconnected_cb=self._note_connected,
        )
        await self._note_connected()
        await self.committed.open()
        await self.projected.open()

    async def _note_error(self, error: Exception) -> None:
        """Say a trouble once, and again when it is another or after a while."""
        said, now = repr(error), asyncio.get_running_loop().time()
        if said != self._said or now - self._said_at > REPEAT_WARNING_S:
            self._said, self._said_at = said, now
            LOG.warning("broker.error", error=said)

    async def _note_disconnected(self) -> None:
        if not self._leaving:
            LOG.warning("broker.disconnected")

    async def _note_connected(self) -> None:
        LOG.info("broker.connected")
