"""The log as it grows, as server-sent events: each one once, in order, from where one left off.

``id`` is the position, so a client that comes back with ``Last-Event-ID`` goes on after it. A
tail shows accesses like any other event, its own included; it makes one event when it begins
and one when it ends, so no tail feeds itself. Source of the format: HTML, Server-sent events.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import msgspec
import structlog
from litestar.connection import Request
from litestar.response import Stream
from litestar.response.base import ASGIResponse
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import Receive, Scope, Send
from msgspec.structs import replace

from api.accesses import Access
from api.exchange import Exchange
from api.hanging_up import TooSlow, hang_up, send_within, until_left
from api.policy import Policy, standing_of
from api.reading import reading
from api.rejection import Unauthenticated
from api.tails import Tails
from commands.accesses import NoteTailEnded, note_tail_ended
from domain.ports import OutOfReach
from domain.system.accesses import AuditTailEnded, TailEnd
from projections.audit import story
from projections.audit.story import Entry, Filter

LOG = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "text/event-stream"
_BEGINNING: Final = b"retry: 3000\n\n"
_ENCODE: Final = msgspec.json.Encoder().encode


class Tail:
    """One reader's tail. ``wanted.after`` moves on with what was looked at."""

    def __init__(
        self, exchange: Exchange, access: Access, wanted: Filter, *, max_s: float
    ) -> None:
        self._tails = exchange.desk.tails
        self.config = self._tails.config
        self._exchange = exchange
        self._access = access
        self._wanted = wanted
        self._max_s = max_s
        self._sent = 0
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
                found, is_behind = await self._look()
            except OutOfReach:
                reason = "out_of_reach"
                break
            for piece in self._events(found):
                yield piece
                told = loop.time()
            if loop.time() - told >= config.heartbeat_s:
                told = loop.time()
                yield b": still here\nid: %d\n\n" % self._wanted.after
            if not is_behind:
                await self._wait(began)
        self.reason = reason
        yield b'event: end\ndata: {"reason":"%s"}\n\n' % reason.encode()

    async def note_end(self) -> None:
        """Record that it is over, if that can be recorded."""
        fact = AuditTailEnded(
            user_id=self._exchange.user.user_id,
            upto=self._wanted.after,
            sent=self._sent,
            reason=self.reason,
        )
        command = NoteTailEnded(access_id=self._access.access_id, fact=fact)
        try:
            await self._exchange.note(note_tail_ended, command)
        except OutOfReach:
            LOG.warning("audit.tail_end_not_recorded", access_id=str(command.access_id))

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

    async def _look(self) -> tuple[list[Entry], bool]:
        """The next events that match, and whether there are more to look at."""
        platform, config = self._exchange.platform, self.config
        async with reading(platform.pool, platform.config.read_deadline_s) as connection:
            head = await story.head(connection)
            wanted = replace(self._wanted, until=max(head, self._wanted.after))
            found = await story.look(connection, wanted, config.together, enough=lambda: True)
        onwards = wanted.until if found.onwards is None else found.onwards
        assert onwards is not None, "the look had an end"
        self._wanted = replace(self._wanted, after=onwards)
        return found.entries, found.onwards is not None

    def _events(self, found: list[Entry]) -> Iterator[bytes]:
        piece = b""
        for each in found:
            # a line break between two tokens of the stored JSON would end the field
            data = _ENCODE(each).replace(b"\n", b" ").replace(b"\r", b" ")
            piece += b"id: %d\ndata: %b\n\n" % (each.position, data)
            self._sent += 1
            if len(piece) >= self.config.piece_bytes:
                yield piece
                piece = b""
        if piece:
            yield piece

    async def _wait(self, began: float) -> None:
        """Until there may be more, or something else is due."""
        loop, config = asyncio.get_running_loop(), self.config
        await asyncio.sleep(config.pause_s)
        left_s = max(0.0, began + self._max_s - loop.time())
        timeout_s = min(config.poll_s, config.check_s, config.heartbeat_s, left_s)
        committed = self._exchange.platform.committed.wait(self._wanted.after, timeout_s)
        waits = {
            asyncio.ensure_future(committed),
            asyncio.ensure_future(self._tails.ending.wait()),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


class TailStream(Stream):
    """The answer that a tail is sent in."""

    def __init__(self, tail: Tail, tails: Tails) -> None:
        unbuffered = {"X-Accel-Buffering": "no"}
        super().__init__(tail.pieces(), media_type=MEDIA_TYPE, headers=unbuffered)
        self._tail = tail
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
        sending.tail, sending.tails = self._tail, self._tails
        return sending


class _Sending(ASGIStreamingResponse):
    """Sends no faster than the reader reads, and not for ever to one who does not."""

    tail: Tail
    tails: Tails

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The whole answer; then the place is free, and the end on record."""
        try:
            await super().__call__(scope, receive, send)
        except TooSlow:
            self.tail.reason = "slow"
            LOG.warning("audit.tail_cut_off", reason="slow")
            await hang_up(scope, receive)
        finally:
            self.tails.leave()
            await self.tail.note_end()

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send until the tail ends, the reader leaves, or reads nothing for too long."""
        await until_left(self._send_all(send), receive)

    async def _send_all(self, send: Send) -> None:
        async for piece in self.iterator:
            body = piece if isinstance(piece, bytes) else piece.encode()
            await send_within(send, body, self.tail.config.slow_s)
        await send_within(send, b"", self.tail.config.slow_s, more_body=False)
