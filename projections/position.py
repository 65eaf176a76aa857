"""Read your writes: waits until the read models have passed a position.

For processes that query. A signal tells how far they are; since a signal is only a hint, the
checkpoints are asked as well, ever more rarely, by one poll that all who wait share. A poll
that hangs makes nobody deaf, and ends: its connection is thrown away, and another one is asked.

A position once passed stays passed, so the newest is remembered for ever. That is true because
read models commit durably: Postgres shows a commit to others only when it is on disk, and a
crash takes nothing back that was seen. It costs an fsync a batch and none of the speed that
counts, since batches grow with the load (benchmarks/projection.py).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Self

from msgspec import Struct
from psycopg_pool import AsyncConnectionPool

from domain.ports import OutOfReach, Signal
from projections.reading import reading

REACHED: Final = """
    SELECT coalesce(min(position), 0) FROM owl_read.checkpoints
    WHERE source = 'business' AND state = 'live' AND stopped_at IS NULL
"""


class PositionConfig(Struct, frozen=True, kw_only=True):
    """The pause between two polls doubles from the first to the longest.

    While signals come, they are trusted for longer: then no poll repeats what they say.
    """

    poll_first_s: float = 0.005
    poll_longest_s: float = 0.1
    poll_deadline_s: float = 0.5
    trusted_s: float = 0.05


class ReadPosition:
    """How far the live read models of the business log are.

    One that has stopped at a poison event is not waited for: its figures are old and stay so
    until it is rebuilt, and every write would be slow for nothing.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        projected: Signal,
        config: PositionConfig | None = None,
    ) -> None:
        self._pool = pool
        self._projected = projected
        self._config = config or PositionConfig()
        self._known = 0
        self._heard = False
        self._waiting: dict[asyncio.Future[bool], int] = {}
        self._watch: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def known(self) -> int:
        """The newest position heard of; the truth may be further."""
        return self._known

    async def wait(self, position: int, timeout_s: float) -> bool:
        """Whether the read models have passed ``position``, within the time."""
        if self._known >= position:
            return True
        loop = asyncio.get_running_loop()
        passed: asyncio.Future[bool] = loop.create_future()
        self._waiting[passed] = position
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._follow())
        timer = loop.call_later(timeout_s, _give_up, passed)
        try:
            return await passed
        finally:
            timer.cancel()
            self._waiting.pop(passed, None)

    async def close(self) -> None:
        """Stop looking; whoever still waits gives up in its own time."""
        if self._watch is not None:
            self._watch.cancel()
        # a question is not cancelled: it ends by its deadline
        tasks = [task for task in (self._watch, self._asking) if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self) -> None:
        """Until nobody waits: hear of the next position, or ask for it."""
        config = self._config
        pause_s = config.poll_first_s
        try:
            while self._waiting:
                known = self._known
                trusted_s = config.trusted_s if self._heard else 0.0
                self._passed(await self._projected.wait(known, max(pause_s, trusted_s)))
                self._heard = self._known > known
                if not self._heard:
                    await self._poll()
                if self._known > known:
                    pause_s = config.poll_first_s
                else:
                    pause_s = min(2 * pause_s, config.poll_longest_s)
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
            self._fail(error)

    async def _poll(self) -> None:
        """Ask, unless a question is under way, and listen until it is answered."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        hearing = asyncio.ensure_future(
            self._projected.wait(self._known, self._config.poll_deadline_s)
        )
        try:
            await asyncio.wait((self._asking, hearing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            hearing.cancel()
        if self._asking.done():
            self._asking.result()

    async def _ask(self) -> None:
        try:
            async with reading(self._pool, self._config.poll_deadline_s) as connection:
                cursor = await connection.execute(REACHED)
                row = await cursor.fetchone()
        except OutOfReach:
            return  # a signal may still come
        assert row is not None, "an aggregate gives one row"
        self._passed(int(row[0]))

    def _passed(self, position: int) -> None:
        """Wake those alone whose position it is, however many others wait."""
        if position <= self._known:
            return
        self._known = position
        waiting = self._waiting
        for future in [each for each, wanted in waiting.items() if wanted <= position]:
            del waiting[future]
            if not future.done():
                future.set_result(True)

    def _fail(self, error: Exception) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_exception(error)
        self._waiting.clear()


def _give_up(passed: asyncio.Future[bool]) -> None:
    if not passed.done():
        passed.set_result(False)
