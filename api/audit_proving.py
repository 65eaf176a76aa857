"""The log's tree over HTTP: reads of the stored bytes, a few at once, each bounded in time.

They go through the same blocking reader as ``owl audit``, in a thread with a connection of its
own; a thread that hangs with its database keeps its place among the few until that is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg

from api.messages import Text
from api.platform import Platform
from api.rejection import Rejection
from domain.audit.checkpoint import NoteInvalid, VerifierKey
from domain.audit.rotation import KeyChain
from domain.ports import OutOfReach
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog

T = TypeVar("T")

AT_ONCE: Final = 4
OTHER_KEYS: Final = Text(
    "日志中的密钥变更与本服务器的密钥不符，请立即运行 owl audit verify 核验",
    "The log's changes of key do not lead to this server's key: run `owl audit verify` at once",
)


class StoredReader:
    """A process's door to the stored log."""

    def __init__(self, platform: Platform) -> None:
        conninfo = platform.pool.conninfo
        assert isinstance(conninfo, str), "the pool is told its database once"
        self._conninfo = conninfo
        self._own = platform.notary_keys.own.public_key
        self._places = asyncio.Semaphore(AT_ONCE)

    async def ask(self, read: Callable[[StoredLog], T], *, within_s: float) -> T:
        """What ``read`` finds in the stored log.

        Raises:
            OutOfReach: the database did not answer in time, or too many ask at once.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + within_s
        try:
            await asyncio.wait_for(self._places.acquire(), within_s)
        except TimeoutError as error:
            raise OutOfReach("too many read the stored log at once") from error
        work = asyncio.ensure_future(asyncio.to_thread(_read, self._conninfo, read, within_s))
        work.add_done_callback(self._leave)
        try:
            return await asyncio.wait_for(asyncio.shield(work), max(0.05, ends - loop.time()))
        except (TimeoutError, psycopg.OperationalError) as error:
            raise OutOfReach("the stored log was not read in time") from error

    async def keys(self, *, within_s: float) -> KeyChain:
        """The keys of the log, from the one that this process began with to the newest.

        Raises:
            Rejection: they do not lead there.
            OutOfReach: as of ``ask``.
        """
        try:
            return await self.ask(self._chain, within_s=within_s)
        except NoteInvalid:
            raise Rejection("INVALID_STATE", message=OTHER_KEYS) from None

    def _chain(self, log: StoredLog) -> KeyChain:
        own = VerifierKey(log.origin(), self._own)
        return KeyChain.of(own, log.links(), is_signed)

    def _leave(self, work: asyncio.Future[Any]) -> None:
        self._places.release()
        if not work.cancelled():
            work.exception()  # whoever waited may have gone


def _read(conninfo: str, read: Callable[[StoredLog], T], within_s: float) -> T:
    with StoredLog.open(conninfo, statement_timeout_s=within_s) as log:
        return read(log)
