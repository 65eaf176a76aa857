"""A client that asks over many connections at once, each as fast as it is answered.

Written close to the wire: what it spends of the machine is not there for the server.
"""

from __future__ import annotations

import asyncio
import time
from typing import cast

import uvloop

CONNECTIONS = 128
WARM_UP_S = 0.5


class Asker(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, requests: list[bytes], asked: list[int], until: float) -> None:
        self._requests = requests
        self._asked = asked
        self._until = until
        self._next = 0
        self._buffer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first question."""
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Count a whole answer and ask again."""
        buffer = self._buffer + data if self._buffer else data
        head = buffer.find(b"\r\n\r\n")
        if head < 0:
            self._buffer = buffer
            return
        at = buffer.find(b"content-length: ") + 16
        length = int(buffer[at : buffer.find(b"\r\n", at)])
        if len(buffer) < head + 4 + length:
            self._buffer = buffer
            return
        if buffer[9:12] != b"200":
            self.done.set_exception(RuntimeError(buffer.decode()))
            self._transport.close()
            return
        self._buffer = b""
        self._asked[0] += 1
        if time.perf_counter() < self._until:
            self._ask()
        elif not self.done.done():
            self.done.set_result(None)
            self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        """Say so if it was not we who left."""
        if not self.done.done():
            self.done.set_exception(ConnectionError("the server closed the connection"))

    def _ask(self) -> None:
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1


def asked_per_s(port: int, requests: list[bytes], seconds: float) -> float:
    """Ask over all connections for so long; answers in a second."""

    async def run(for_s: float) -> float:
        loop, asked = asyncio.get_running_loop(), [0]
        began = time.perf_counter()
        share = len(requests) // CONNECTIONS
        askers = []
        for number in range(CONNECTIONS):
            mine = requests[number * share : (number + 1) * share]
            _, asker = await loop.create_connection(
                lambda mine=mine: Asker(mine, asked, began + for_s),  # type: ignore[misc]
                "127.0.0.1",
                port,
            )
            askers.append(asker.done)
        await asyncio.gather(*askers)
        return asked[0] / (time.perf_counter() - began)

    uvloop.run(run(WARM_UP_S))
    return uvloop.run(run(seconds))
