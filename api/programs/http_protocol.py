"""HTTP/1.1 as uvicorn speaks it, with bounds on the head and on the wait, and in our own words.

What cannot be read as HTTP at all is answered in the API's envelope. A request has to be whole
within ``REQUEST_S``: whoever sends it drop by drop holds a connection no longer than that.
Sources: RFC 9112 §3 and §6 (what is no message), CWE-400 (slow and endless requests).
"""

from __future__ import annotations

import re
import secrets
import sys
from asyncio import TimerHandle, Transport
from typing import Final

import msgspec
from httptools import HttpParserInvalidURLError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.envelope import Failure
from api.hanging_up import ABORT, EXTENSION
from api.messages import ERRORS, NOT_ASCII, language_of

REQUEST_S: Final = 30.0
HEAD_BYTES_MAX: Final = 64 * 1024
_CODE: Final = "BAD_REQUEST"
_LANGUAGE = re.compile(rb"^accept-language:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    request_s = REQUEST_S
    _head_bytes = 0
    _in_head = False
    _heard = b""
    _due: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless the head has no end."""
        self._heard = data
        super().data_received(data)
        self._heard = b""
        if not self._in_head or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            self.send_400_response("the head of the request is too long")

    def on_message_begin(self) -> None:
        """Wait for the whole of it."""
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {ABORT: self.transport.abort}}
        self._head_bytes, self._in_head = 0, True
        self._expect_request()

    def on_headers_complete(self) -> None:
        """The head has an end."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._expect_nothing()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Say that it is no request, and hang up: what follows on the line means nothing."""
        failure = Failure(message=self._reason(), error_code=_CODE, details={})
        body = msgspec.json.encode(failure)
        head = (
            "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nX-Request-ID: {secrets.token_hex(16)}\r\n"
            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            "Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _reason(self) -> str:
        """What to do about it; where the address is at fault for its letters, that."""
        is_address = isinstance(sys.exc_info()[1], HttpParserInvalidURLError)
        text = NOT_ASCII if is_address and not self._heard.isascii() else ERRORS[_CODE]
        wanted = _LANGUAGE.search(self._heard)  # nothing was parsed, so there are no headers
        return text.in_language(language_of(wanted[1].decode("latin-1") if wanted else ""))

    def _expect_request(self) -> None:
        self._expect_nothing()
        self._due = self.loop.call_later(self.request_s, self.transport.close)

    def _expect_nothing(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
