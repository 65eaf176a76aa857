"""Server-sent events to one reader, until there is a reason to end, which the last one tells.

A reader whose token ends, whose time is up or who takes nothing is not served on; none of them
holds a place for ever. Source of the format: HTML, Server-sent events.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import structlog
from litestar.connection import Request
from litestar.response import Stream
from litestar.response.base import ASGIResponse
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import Receive, Scope, Send

from api.exchange import Exchange
from api.hanging_up import TooSlow, hang_up, send_within, until_left
from api.policy import Policy, standing_of
from api.rejection import Unauthenticated
from api.tails import Tails
from domain.ports import OutOfReach
from domain.system.accesses import TailEnd

LOG = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "text/event-stream"
_BEGINNING: Final = b"retry: 3000\n\n"


class ServerSent(ABC):
    """What one reader is sent."""

    def __init__(self, exchange: Exchange, *, max_s: float) -> None:
        self._tails = exchange.desk.tails
        self.config = self._tails.config
        self._exchange = exchange
        self._max_s = min(max_s, self.config.most_s)
        self.reason: TailEnd = "left"

    async def pieces(self) -> AsyncIterator[bytes]:
        """What to send, a bounded piece at a time."""
        loop = asyncio.get_running_loop()
        config, began = self.config, loop.time()
        checked = told = began
        yield _BEGINNING
        while (reason := self._over(began)) is None:
            if loop.time() - checked >= config.check_s:
                checked = loop.time()
                reason = await self._unwelcome()
                if reason is not None:
                    break
            try:
                found, is_behind = await self.look()
            except OutOfReach:
                reason = "out_of_reach"
                break
            for piece in found:
                yield piece
                told = loop.time()
            if loop.time() - told >= config.heartbeat_s:
                told = loop.time()
                yield self.heartbeat()
            if not is_behind:
                await self._wait(began)
        self.reason = reason
        yield b'event: end\ndata: {"reason":"%s"}\n\n' % reason.encode()

    @abstractmethod
    async def look(self) -> tuple[Iterator[bytes], bool]:
        """The next pieces, and whether there are more to look for at once.

        Raises:
            OutOfReach: nobody can tell.
        """

    @abstractmethod
    async def news(self, timeout_s: float) -> object:
        """Until there may be more, at most for so long."""

    def heartbeat(self) -> bytes:
        """That it is still there."""
        return b": still here\n\n"

    @abstractmethod
    async def note_end(self) -> None:
        """It is over, for ``self.reason``."""

    def _over(self, began: float) -> TailEnd | None:
        if self._tails.ending.is_set():
            return "shutdown"
        is_late = asyncio.get_running_loop().time() - began >= self._max_s
        return "time" if is_late else None

    async def _unwelcome(self) -> TailEnd | None:
        try:
            standing = await standing_of(self._exchange)
        except Unauthenticated:
            return "token"
        except OutOfReach:
            return "out_of_reach"
        return None if standing.role in Policy.READER.value else "token"

    async def _wait(self, began: float) -> None:
        """Until there may be more, or something else is due."""
        loop, config = asyncio.get_running_loop(), self.config
        await asyncio.sleep(config.pause_s)
        left_s = max(0.0, began + self._max_s - loop.time())
        timeout_s = min(config.poll_s, config.check_s, config.heartbeat_s, left_s)
        waits = {
            asyncio.ensure_future(self.news(timeout_s)),
            asyncio.ensure_future(self._tails.ending.wait()),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


class ServerSentStream(Stream):
    """The answer that they are sent in."""

    def __init__(self, sent: ServerSent, tails: Tails) -> None:
        unbuffered = {"X-Accel-Buffering": "no"}
        super().__init__(sent.pieces(), media_type=MEDIA_TYPE, headers=unbuffered)
        self._sent = sent
        self._tails = tails

    def to_asgi_response(
        self, app: Any, request: Request[Any, Any, Any], **options: Any
    ) -> ASGIResponse:
        """The stream as Litestar sends it, but for the end."""
        plain = super().to_asgi_response(app, request, **options)
        assert isinstance(plain, ASGIStreamingResponse)
        sending = _Sending(
            iterator=plain.iterator,
            headers=dict(plain.headers),
            media_type=MEDIA_TYPE,
            status_code=plain.status_code,
        )
        sending.sent, sending.tails = self._sent, self._tails
        return sending


class _Sending(ASGIStreamingResponse):
    """Sends no faster than the reader reads, and not for ever to one who does not."""

    sent: ServerSent
    tails: Tails

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The whole answer; then the place is free, and the end on record."""
        try:
            await super().__call__(scope, receive, send)
        except TooSlow:
            self.sent.reason = "slow"
            LOG.warning("tail.cut_off", reason="slow")
            await hang_up(scope, receive)
        finally:
            self.tails.leave()
            await self.sent.note_end()

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send until it ends, the reader leaves, or reads nothing for too long."""
        await until_left(self._send_all(send), receive)

    async def _send_all(self, send: Send) -> None:
        async for piece in self.iterator:
            body = piece if isinstance(piece, bytes) else piece.encode()
            await send_within(send, body, self.sent.config.slow_s)
        await send_within(send, b"", self.sent.config.slow_s, more_body=False)
