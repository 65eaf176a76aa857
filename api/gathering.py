"""Look-ups by key that travel together: one query for all who ask while one is on its way.

Each answer comes from a query that was sent after its request had arrived, so nothing older
than the request is ever shown. Alone, a look-up leaves at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from psycopg import AsyncConnection

from api.platform import ReadPool
from api.reading import reading

V = TypeVar("V")
Find = Callable[[AsyncConnection[Any], Collection[UUID]], Awaitable[Mapping[UUID, V]]]

KEYS_MAX: Final = 48
"""So few that those who are answered first are decided and committed while the next are asked
for: with more, all who ask together go through every later stage in lockstep."""


class Gathering(Generic[V]):
    """``find`` reads what belongs to keys; a key without a value is not in its answer."""

    def __init__(self, pool: ReadPool, find: Find[V], *, deadline_s: float) -> None:
        self._pool = pool
        self._find = find
        self._deadline_s = deadline_s
        self._waiting: dict[UUID, list[asyncio.Future[V | None]]] = {}
        self._flight: asyncio.Task[None] | None = None

    async def get(self, key: UUID) -> V | None:
        """What belongs to the key.

        Raises:
            OutOfReach: Postgres did not answer in time.
        """
        # everybody waits by their own future: one who goes away takes nobody along
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(answer)
        if self._flight is None:
            self._flight = asyncio.create_task(self._fly())
        return await answer

    async def _fly(self) -> None:
        try:
            while self._waiting:
                asked = self._waiting
                if len(asked) > KEYS_MAX:
                    asked = dict(list(asked.items())[:KEYS_MAX])
                    for key in asked:
                        del self._waiting[key]
                else:
                    self._waiting = {}
                await self._answer(asked)
        finally:
            self._flight = None

    async def _answer(self, asked: dict[UUID, list[asyncio.Future[V | None]]]) -> None:
        try:
            async with reading(self._pool, self._deadline_s) as connection:
                found = await self._find(connection, list(asked))
        except Exception as error:  # noqa: BLE001 - handed to those who asked
            for answer in _still_waiting(asked.values()):
                answer.set_exception(error)
                answer.exception()  # whoever asked may be leaving
        else:
            for key, answers in asked.items():
                value = found.get(key)
                for answer in answers:
                    if not answer.done():
                        answer.set_result(value)


def _still_waiting(
    answers: Iterable[list[asyncio.Future[V | None]]],
) -> Iterator[asyncio.Future[V | None]]:
    return (answer for each in answers for answer in each if not answer.done())
