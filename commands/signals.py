"""Wake-up hints: in this process, and between processes over plain NATS.

Law: a hint may be lost, late or doubled. Whoever waits also looks by itself after a short time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

COMMITTED: Final = "owl.hints.committed"
"""The business log has reached a position."""
PROJECTED: Final = "owl.hints.projected"
"""The read models have reached a position."""
DIGITS_MAX: Final = 19


class LocalSignal:
    """Wakes everybody who waits in this process. ``notify`` may be called from any thread."""

    def __init__(self) -> None:
        self._position = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self, position: int) -> None:
        loop = self._loop
        if loop is None:  # nobody has ever waited
            self._position = max(self._position, position)
            return
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is loop:
            self._rise(position)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(self._rise, position)

    async def wait(self, after: int, timeout_s: float) -> int:
        self._loop = asyncio.get_running_loop()
        if self._position > after:
            return self._position
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.add(waiter)
        timer = self._loop.call_later(timeout_s, _wake, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiters.discard(waiter)
        return self._position

    def _rise(self, position: int) -> None:
        if position <= self._position:
            return
        self._position = position
        for waiter in self._waiters:
            _wake(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class NatsSignal:
    """A signal shared by all processes on a broker; works within the process without one.

    Many notices in a row become few messages: only the newest position is worth sending. And a
    process in which nobody has ever waited is sent none: each would cost it a tenth of a
    millisecond.
    """

    def __init__(self, client: Client, subject: str) -> None:
        self._client = client
        self._subject = subject
        self._local = LocalSignal()
        self._loop = asyncio.get_running_loop()
        self._unsent = 0
        self._sent = 0
        self._sender: asyncio.Task[None] | None = None
        self._connected = False
        self._wanted = False
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        """The broker is there: listen to the other processes once somebody here waits."""
        self._connected = True
        if self._wanted:
            await self._listen()

    async def close(self) -> None:
        """Stop listening and sending."""
        if self._subscription is not None and self._client.is_connected:
            await self._subscription.unsubscribe()
        if self._sender is not None:
            self._sender.cancel()

    def notify(self, position: int) -> None:
        self._local.notify(position)
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._send_soon(position)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send_soon, position)

    async def wait(self, after: int, timeout_s: float) -> int:
        if not self._wanted:
            self._wanted = True
            if self._connected:
                with suppress(NatsError):
                    await self._listen()
        return await self._local.wait(after, timeout_s)

    async def _listen(self) -> None:
        self._subscription = await self._client.subscribe(self._subject, cb=self._hear)

    def _send_soon(self, position: int) -> None:
        self._unsent = max(self._unsent, position)
        if self._sender is None or self._sender.done():
            self._sender = self._loop.create_task(self._send())

    async def _send(self) -> None:
        while self._sent < self._unsent and self._client.is_connected:
            self._sent = self._unsent
            with suppress(NatsError):
                await self._client.publish(self._subject, str(self._sent).encode())
            await asyncio.sleep(0)

    async def _hear(self, message: Msg) -> None:
        if message.data.isdigit() and len(message.data) <= DIGITS_MAX:
            self._local.notify(int(message.data))
