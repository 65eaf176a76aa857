"""HEAD: a GET whose answer ends with its headers. Source: RFC 9110, section 9.3.2.

The application hears a GET, so its checks, its status and its headers are those of a GET. Once
the headers are out it hears that the client has gone: what would be written on is not.
"""

from __future__ import annotations

import asyncio
from typing import cast

from litestar.types import HTTPReceiveMessage, HTTPScope, Message, Send


class HeadersOnly:
    """One HEAD request; ``scope``, ``receive`` and ``send`` are for the application."""

    def __init__(self, scope: HTTPScope, send: Send) -> None:
        self.scope = cast("HTTPScope", {**scope, "method": "GET"})
        self._send = send
        self._told = asyncio.Event()
        self._was_asked = False

    async def receive(self) -> HTTPReceiveMessage:
        """No body, then the end."""
        if not self._was_asked:
            self._was_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._told.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Pass the headers on, and nothing else."""
        if message["type"] == "http.response.start":
            await self._send(message)
        elif not self._told.is_set():
            self._told.set()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def naming_head(methods: bytes) -> bytes:
    """An ``Allow`` header's value: where there is GET there is HEAD."""
    names = set(methods.split(b", "))
    return b", ".join(sorted(names | {b"HEAD"} if b"GET" in names else names))
