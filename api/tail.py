"""The log as it grows, as server-sent events: each one once, in order, from where one left off.

``id`` is the position, so a client that comes back with ``Last-Event-ID`` goes on after it. A
tail shows accesses like any other event, its own included; it makes one event when it begins
and one when it ends, so no tail feeds itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
import structlog
from msgspec.structs import replace

from api.accesses import Access
from api.exchange import Exchange
from api.reading import reading
from api.server_sent import ServerSent
from commands.accesses import NoteTailEnded, note_tail_ended
from domain.ports import OutOfReach
from domain.system.accesses import AuditTailEnded
from projections.audit import story
from projections.audit.story import Entry, Filter

LOG = structlog.get_logger(__name__)

_ENCODE: Final = msgspec.json.Encoder().encode


class Tail(ServerSent):
    """One reader's tail. ``wanted.after`` moves on with what was looked at."""

    def __init__(
        self, exchange: Exchange, access: Access, wanted: Filter, *, max_s: float
    ) -> None:
        super().__init__(exchange, max_s=max_s)
        self._access = access
        self._wanted = wanted
        self._sent = 0

    async def look(self) -> tuple[Iterator[bytes], bool]:
        """The next events that match, and whether there are more to look at."""
        platform, config = self._exchange.platform, self.config
        async with reading(platform.pool, platform.config.read_deadline_s) as connection:
            head = await story.head(connection)
            wanted = replace(self._wanted, until=max(head, self._wanted.after))
            found = await story.look(connection, wanted, config.together, enough=lambda: True)
        onwards = wanted.until if found.onwards is None else found.onwards
        assert onwards is not None, "the look had an end"
        self._wanted = replace(self._wanted, after=onwards)
        return self._events(found.entries), found.onwards is not None

    async def news(self, timeout_s: float) -> object:
        """Until something is committed."""
        return await self._exchange.platform.committed.wait(self._wanted.after, timeout_s)

    def heartbeat(self) -> bytes:
        """With how far it has looked."""
        return b": still here\nid: %d\n\n" % self._wanted.after

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
