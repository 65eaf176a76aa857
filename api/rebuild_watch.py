"""A read model's standing as it changes, as server-sent events: the progress of its rebuild.

Each event holds the whole standing, so none is missed by who comes back; ``id`` is a digest of
it, and with ``Last-Event-ID`` nothing is sent until something has changed since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from api.exchange import Exchange
from api.server_sent import ServerSent

_ENCODE: Final = msgspec.json.Encoder().encode
_DIGITS: Final = 10**18


class RebuildWatch(ServerSent):
    """One reader's watch; ``standing`` tells how it is now."""

    def __init__(
        self,
        exchange: Exchange,
        standing: Callable[[], Awaitable[Struct]],
        *,
        last_id: int | None,
        max_s: float,
    ) -> None:
        super().__init__(exchange, max_s=max_s)
        self._standing = standing
        self._last_id = last_id

    async def look(self) -> tuple[Iterator[bytes], bool]:
        """The standing, if it is another one than was sent last."""
        data = _ENCODE(await self._standing())
        this = int.from_bytes(sha256(data).digest()[:8], "big") % _DIGITS
        pieces = [] if this == self._last_id else [b"id: %d\ndata: %b\n\n" % (this, data)]
        self._last_id = this
        return iter(pieces), False

    async def news(self, timeout_s: float) -> None:
        """A rebuild tells nobody how far it is: it is looked at again and again."""
        await asyncio.sleep(timeout_s)

    async def note_end(self) -> None:
        """No event: how far a rebuild is tells nothing of anybody."""
