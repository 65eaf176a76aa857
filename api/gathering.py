"""Look-ups by key that travel together: one query for all who ask while one is on its way.

Each answer comes from a query that was sent after its request had arrived, so nothing older
than the request is ever shown. Alone, a look-up leaves at once. Nobody is looked up for whose
time is over: while Postgres does not answer, a long line waits for one deadline, not for many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar
from uuid import UUID

from psycopg import AsyncConnection

from api.platform import ReadPool
from api.reading import reading
from domain.ports import OutOfReach

V = TypeVar("V")
Find = Callable[[AsyncConnection[Any], Collection[UUID]], Awaitable[Mapping[UUID, V]]]

KEYS_MAX: Final = 48
"""So few that those who are answered first are decided and committed while the next are asked
for: with more, all who ask together go through every later stage in lockstep."""


class Asked(NamedTuple, Generic[V]):
    """Who wants one key's value, and until when the first of them waits for it."""

    ends_at: float
    answers: list[asyncio.Future[V | None]]


class Gathering(Generic[V]):
    """``find`` reads what belongs to keys; a key without a value is not in its answer."""

    def __init__(self, pool: ReadPool, find: Find[V], *, deadline_s: float) -> None:
        self._pool = pool
        self._find = find
        self._deadline_s = deadline_s
        self._waiting: dict[UUID, Asked[V]] = {}
        self._flight: asyncio.Task[None] | None = None

    async def get(self, key: UUID) -> V | None:
        """What belongs to the key.

        Raises:
            OutOfReach: Postgres did not answer in time.
        """
        # everybody waits by their own future: one who goes away takes nobody along
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[V | None] = loop.create_future()
        asked = self._waiting.get(key)
        if asked is None:
            asked = self._waiting[key] = Asked(loop.time() + self._deadline_s, [])
        asked.answers.append(answer)
        if self._flight is None:
            self._flight = asyncio.create_task(self._fly())
        return await answer

    async def _fly(self) -> None:
        try:
            while self._waiting:
                if asked := self._next():
                    await self._answer(asked)
        finally:
            self._flight = None

    def _next(self) -> dict[UUID, Asked[V]]:
        """Those who have waited longest; whose time is over is told so instead."""
        now, taken = asyncio.get_running_loop().time(), dict[UUID, Asked[V]]()
        for key, asked in list(self._waiting.items()):
            if len(taken) == KEYS_MAX:
                break
            del self._waiting[key]
            if asked.ends_at > now:
                taken[key] = asked
            else:
                _fail([asked], OutOfReach())
        return taken

    async def _answer(self, asked: dict[UUID, Asked[V]]) -> None:
        newest = next(reversed(asked.values()))
        left_s = newest.ends_at - asyncio.get_running_loop().time()
        try:
            async with reading(self._pool, left_s) as connection:
                found = await self._find(connection, list(asked))
        except Exception as error:  # noqa: BLE001 - handed to those who asked
            _fail(asked.values(), error)
        else:
            for key, each in asked.items():
                value = found.get(key)
                for answer in each.answers:
                    if not answer.done():
                        answer.set_result(value)


def _fail(asked: Iterable[Asked[V]], error: Exception) -> None:
    for each in asked:
        for answer in each.answers:
            if not answer.done():
                answer.set_exception(error)
                answer.exception()  # whoever asked may be leaving
