"""Look-ups that travel together: each is answered, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import AsyncConnection

from api.gathering import KEYS_MAX, Gathering
from api.reading import open_pool
from domain.ports import OutOfReach

Asked = list[list[UUID]]


def gathering_of(pool: Any, asked: Asked) -> Gathering[str]:
    async def find(_: AsyncConnection[Any], keys: Collection[UUID]) -> dict[UUID, str]:
        asked.append(list(keys))
        if UUID(int=0) in keys:
            raise ZeroDivisionError
        return {key: key.hex for key in keys}

    return Gathering(pool, find, deadline_s=20)


@pytest.fixture
def key() -> UUID:
    return uuid4()


def test_who_asks_for_the_same_asks_once_and_who_leaves_takes_nobody_along(
    database_url: str, key: UUID
) -> None:
    async def scene() -> None:
        asked: Asked = []
        async with open_pool(database_url, most=2) as pool:
            gathering = gathering_of(pool, asked)
            both = [asyncio.create_task(gathering.get(key)) for _ in range(2)]
            await asyncio.sleep(0)
            both[0].cancel()
            assert await both[1] == key.hex
            assert both[0].cancelled()
            assert asked == [[key]]

    asyncio.run(scene())


def test_a_look_up_that_fails_is_heard_by_all_who_wait_and_by_nobody_later(
    database_url: str, key: UUID
) -> None:
    async def scene() -> None:
        asked: Asked = []
        async with open_pool(database_url, most=2) as pool:
            gathering = gathering_of(pool, asked)
            keys = (UUID(int=0), key, key)
            left, *told = [asyncio.create_task(gathering.get(each)) for each in keys]
            await asyncio.sleep(0)
            left.cancel()
            for error in await asyncio.gather(*told, return_exceptions=True):
                assert isinstance(error, ZeroDivisionError)
            assert await gathering.get(key) == key.hex

    asyncio.run(scene())


def test_a_long_line_before_a_database_that_hangs_waits_for_one_deadline_and_not_for_many(
    database_url: str,
) -> None:
    async def scene() -> None:
        asked: Asked = []

        async def find(
            connection: AsyncConnection[Any], keys: Collection[UUID]
        ) -> dict[UUID, str]:
            asked.append(list(keys))
            await connection.execute("SELECT pg_sleep(20)")
            return {}

        async with open_pool(database_url, most=2) as pool:
            await pool.wait()
            gathering = Gathering(pool, find, deadline_s=0.3)
            line = [gathering.get(uuid4()) for _ in range(3 * KEYS_MAX)]
            for told in await asyncio.gather(*line, return_exceptions=True):
                assert isinstance(told, OutOfReach)
            assert len(asked) <= 1
            gathering = gathering_of(pool, asked)
            assert await gathering.get(key := uuid4()) == key.hex

    asyncio.run(scene())
