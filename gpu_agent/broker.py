"""The agent's connection to NATS: made anew for as long as the agent lives.

The agent signs in with a token that it signs itself, fresh for every connection. If the
platform closes the door (a revoked or unknown key), the agent goes on knocking, slowly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import nats
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

CONNECT_TIMEOUT_S: Final = 5
RECONNECT_WAIT_S: Final = 1
KNOCK_AGAIN_S: Final = 5.0
NEXT_SESSION_S: Final = 0.2
_LOG = structlog.get_logger(__name__)

OnMessage = Callable[[Msg], Awaitable[None]]


class Broker:
    """Owns the client. Others publish through it, and are told of each new connection."""

    def __init__(
        self, urls: Sequence[str], *, server_id: UUID, token: Callable[[], str] | None
    ) -> None:
        """Take where to connect, and who signs in; without ``token`` the URLs say how."""
        self._urls = list(urls)
        self._server_id = server_id
        self._token = token
        self._client: Client | None = None
        self._subscriptions: list[tuple[str, OnMessage]] = []
        self._on_connected: list[Callable[[], None]] = []
        self.connected = asyncio.Event()

    @property
    def client(self) -> Client | None:
        """The connected client, or ``None``."""
        return self._client if self._client is not None and self._client.is_connected else None

    def subscribe(self, subject: str, on_message: OnMessage) -> None:
        """Hear ``subject`` on every connection. Call before `run`."""
        self._subscriptions.append((subject, on_message))

    def when_connected(self, told: Callable[[], None]) -> None:
        """Have ``told`` called after each connection and reconnection. Call before `run`."""
        self._on_connected.append(told)

    async def publish(self, subject: str, payload: bytes, reply: str = "") -> bool:
        """Send; ``False`` while there is no connection."""
        client = self.client
        if client is None:
            return False
        try:
            await client.publish(subject, payload, reply=reply)
        except (NatsError, OSError) as error:
            _LOG.warning("publish_failed", subject=subject, error=str(error))
            return False
        return True

    async def run(self) -> None:
        """Keep a connection until cancelled, then flush and close it."""
        try:
            while True:
                closed = asyncio.Event()
                pause_s = KNOCK_AGAIN_S
                try:
                    await self._connect(closed)
                    # Let in, and put out later: a session has its end (the platform gives out
                    # short ones), and the next begins at once.
                    pause_s = NEXT_SESSION_S
                    await closed.wait()
                except (NatsError, OSError, TimeoutError) as error:
                    _LOG.warning("broker_unreachable", error=str(error) or repr(error))
                self.connected.clear()
                await asyncio.sleep(pause_s)
        finally:
            if self._client is not None:
                with suppress(NatsError, OSError, TimeoutError):
                    await self._client.flush(timeout=2)
                with suppress(NatsError, OSError, TimeoutError):
                    await self._client.close()

    async def _connect(self, closed: asyncio.Event) -> None:
        async def on_closed() -> None:
            closed.set()

        async def on_disconnected() -> None:
            self.connected.clear()
            _LOG.warning("broker_disconnected")

        async def on_error(error: Exception) -> None:
            _LOG.warning("broker_error", error=str(error) or repr(error))

        options: dict[str, Any] = {} if self._token is None else {"token": self._token}
        self._client = await nats.connect(
            servers=self._urls,
            name=f"owl-agent {self._server_id}",
            # its own inbox, so that an agent can be forbidden all others
            inbox_prefix=f"_INBOX_{self._server_id}",
            connect_timeout=CONNECT_TIMEOUT_S,
            reconnect_time_wait=RECONNECT_WAIT_S,
            max_reconnect_attempts=-1,
            error_cb=on_error,
            disconnected_cb=on_disconnected,
            reconnected_cb=self._tell,
            closed_cb=on_closed,
            **options,
        )
        for subject, on_message in self._subscriptions:
            await self._client.subscribe(subject, cb=on_message)
        await self._tell()

    async def _tell(self) -> None:
        _LOG.info("broker_connected")
        self.connected.set()
        for told in self._on_connected:
            told()
