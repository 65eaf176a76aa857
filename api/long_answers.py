"""Answers out of a look through the whole log: a bundle as a file, or a report line by line.

A bundle is made in a file that has no name, and sent when it is whole: what is wrong is still
said in words, its length is known, and since the same stretch gives the same bytes, a download
that broke off goes on with ``Range``. Source: RFC 9110, §13.1.5 and §14.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from abc import abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from hashlib import sha256
from typing import IO, Any, Final

import msgspec
from litestar import Response
from litestar.connection import Request
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from msgspec import Struct
from msgspec.structs import replace

from api.envelope import Failure
from api.exchange import Exchange
from api.hanging_up import TooSlow, hang_up, send_within, until_left
from api.long_looks import Kind, LongLooks
from api.long_work import Done, Export, Told, Work
from api.messages import ERRORS
from api.rejection import Rejection
from domain.ports import OutOfReach

LINES: Final = "application/x-ndjson"
BUNDLE: Final = "application/x-tar"
SLOW_S: Final = 20.0
"""A reader that takes nothing for so long is cut off."""
PIECE_BYTES: Final = 256 << 10
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)


class LongAnswer(Response[bytes]):
    """An answer that is found out while it is being sent; its place is given back after it."""

    def __init__(self, exchange: Exchange, kind: Kind, work: Work, media_type: str) -> None:
        super().__init__(b"", media_type=media_type)
        self.exchange = exchange
        self.looks: LongLooks = exchange.desk.long_looks
        self.kind = kind
        self.work = work

    def to_asgi_response(
        self, app: Any, request: Request[Any, Any, Any], **options: Any
    ) -> ASGIResponse:
        """What sends it."""
        sending = _Sending(media_type=self.media_type)
        sending.answer = self
        return sending

    @abstractmethod
    async def send(self, send: Send) -> None:
        """Find out, and send."""


class _Sending(ASGIResponse):
    answer: LongAnswer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The whole answer; then the place is free."""
        try:
            await until_left(self.answer.send(send), receive)
        except TooSlow:
            await hang_up(scope, receive)
        finally:
            self.answer.looks.leave(self.answer.kind)


class BundleAnswer(LongAnswer):
    """A bundle, or a part of it."""

    def __init__(self, exchange: Exchange, work: Export) -> None:
        super().__init__(exchange, "export", work, BUNDLE)
        self.name = f"owl-{work.first}-{work.last}.owlb"

    async def send(self, send: Send) -> None:
        """Make it, then send it."""
        with tempfile.TemporaryFile() as file:
            assert isinstance(self.work, Export)
            work = replace(self.work, output=file.fileno())
            async with aclosing(self.looks.look(work)) as words:
                async for word in words:
                    if isinstance(word, Done):
                        await self._send_file(send, file, word)

    async def _send_file(self, send: Send, file: IO[bytes], done: Done) -> None:
        # the manifest has the digest of every file in it, and nothing else of it is free
        etag = f'"{sha256(done.result).hexdigest()}"'
        size = os.fstat(file.fileno()).st_size
        wanted = self._part(etag, size)
        headers = {
            "content-type": BUNDLE,
            "content-length": str(len(wanted or range(size))),
            "content-disposition": f'attachment; filename="{self.name}"',
            "accept-ranges": "bytes",
            "etag": etag,
        }
        if wanted is not None:
            headers["content-range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{size}"
        await _start(send, headers, 200 if wanted is None else 206)
        whole = range(size) if wanted is None else wanted
        for at in range(whole.start, whole.stop, PIECE_BYTES):
            many = min(PIECE_BYTES, whole.stop - at)
            piece = await asyncio.to_thread(os.pread, file.fileno(), many, at)
            if at + many == whole.stop:
                self.exchange.leave()  # who has the last byte may ask for the next one at once
            await send_within(send, piece, SLOW_S)
        await send_within(send, b"", SLOW_S, more_body=False)

    def _part(self, etag: str, size: int) -> range | None:
        """Which bytes are wanted; the whole unless it is one part that there is."""
        held = self.exchange.header("if-range")
        found = _RANGE.fullmatch(self.exchange.header("range"))
        if found is None or held not in {"", etag}:
            return None
        first, last = found.groups()
        if not first:
            wanted = range(max(0, size - int(last or 0)), size)
        else:
            wanted = range(int(first), min(size, int(last) + 1 if last else size))
        return wanted or None


class Progress(Struct, frozen=True, kw_only=True):
    """A line on the way."""

    position: int
    of: int
    events_per_s: int
    eta_s: int | None


class Report(Struct, frozen=True, kw_only=True):
    """The last line; ``certificate`` is the report as a note signed with the log's key."""

    report: msgspec.Raw
    certificate: str | None = None


class ReportAnswer(LongAnswer):
    """How far it is, a line at least each few seconds, and at last the report or a failure."""

    def __init__(self, exchange: Exchange, work: Work) -> None:
        super().__init__(exchange, "fold", work, LINES)

    async def send(self, send: Send) -> None:
        """Send each line as it comes."""
        # what fails at once is still answered in words
        async with aclosing(self._lines()) as lines:
            line = await anext(lines)
            await _start(send, {"content-type": LINES, "x-accel-buffering": "no"}, 200)
            await send_within(send, line, SLOW_S)
            try:
                async for line in lines:
                    await send_within(send, line, SLOW_S)
            except (OutOfReach, Rejection) as error:
                await send_within(send, self._failure(error), SLOW_S)
        self.exchange.leave()  # who has the end may ask for the next one at once
        await send_within(send, b"", SLOW_S, more_body=False)

    async def _lines(self) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        began, first = loop.time(), None
        async with aclosing(self.looks.look(self.work)) as words:
            async for word in words:
                if isinstance(word, Done):
                    line: Struct = Report(report=word.result, certificate=word.certificate)
                else:
                    if first is None:
                        began, first = loop.time(), word.reached
                    line = _progress(word, word.reached - first, loop.time() - began)
                yield msgspec.json.encode(line) + b"\n"

    def _failure(self, error: OutOfReach | Rejection) -> bytes:
        """Too late for a status: the same as a line."""
        code, text = "SERVER_UNAVAILABLE", ERRORS["SERVER_UNAVAILABLE"]
        if isinstance(error, Rejection):
            code, text = error.code, error.message or ERRORS[error.code]
        message = text.in_language(self.exchange.language)
        return (
            msgspec.json.encode(Failure(message=message, error_code=code, details={})) + b"\n"
        )


def _progress(word: Told, events: int, took_s: float) -> Progress:
    events_per_s = round(events / took_s) if took_s > 0 else 0
    left = word.last - word.reached
    return Progress(
        position=word.reached,
        of=word.last,
        events_per_s=events_per_s,
        eta_s=round(left / events_per_s) if events_per_s else None,
    )


async def _start(send: Send, headers: dict[str, str], status: int) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
