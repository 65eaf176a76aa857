"""Reading what one wrote: the wait ends when the read models have passed, or in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool

from commands.signals import LocalSignal
from projections.position import ReadPosition


@asynccontextmanager
async def position_of(url: str, signal: LocalSignal) -> AsyncIterator[ReadPosition]:
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        url, min_size=1, max_size=2, open=False
    )
    async with pool:
        position = ReadPosition(pool, signal)
        try:
            yield position
        finally:
            await position.close()


def reach(url: str, position: int, where: str = "true") -> None:
    with psycopg.connect(url) as connection:
        statement = f"UPDATE owl_read.checkpoints SET position = {position} WHERE {where}"
        connection.execute(statement.encode())


def test_a_signal_ends_the_wait(read_url: str) -> None:
    async def scene() -> None:
        signal = LocalSignal()
        async with position_of(read_url, signal) as position:
            waits = [asyncio.create_task(position.wait(n, 20)) for n in (1, 2, 3, 3)]
            await asyncio.sleep(0)
            signal.notify(2)
            assert await waits[0]
            assert await waits[1]
            signal.notify(3)
            assert await asyncio.gather(*waits) == [True] * 4
            assert position.known == 3

    asyncio.run(scene())


def test_without_any_signal_the_checkpoints_are_asked(read_url: str) -> None:
    async def scene() -> None:
        async with position_of(read_url, LocalSignal()) as position:
            wait = asyncio.create_task(position.wait(5, 20))
            await asyncio.to_thread(reach, read_url, 5)
            assert await wait

    asyncio.run(scene())


def test_the_slowest_live_read_model_of_the_business_log_counts(read_url: str) -> None:
    reach(read_url, 9)
    reach(read_url, 4, "read_model = 'tasks'")
    reach(read_url, 1, "source = 'telemetry'")

    async def scene() -> None:
        async with position_of(read_url, LocalSignal()) as position:
            assert not await position.wait(5, 0.2)
            assert position.known == 4

    asyncio.run(scene())


def test_a_stopped_read_model_is_not_waited_for(read_url: str) -> None:
    reach(read_url, 9)
    reach(read_url, 4, "read_model = 'tasks'")
    with psycopg.connect(read_url) as connection:
        connection.execute(
            "UPDATE owl_read.checkpoints SET stopped_at = 5, error = 'poison'"
            " WHERE read_model = 'tasks'"
        )

    async def scene() -> None:
        async with position_of(read_url, LocalSignal()) as position:
            assert await position.wait(9, 20)

    asyncio.run(scene())


def test_a_wait_gives_up_in_time(read_url: str) -> None:
    async def scene() -> float:
        async with position_of(read_url, LocalSignal()) as position:
            began = monotonic()
            assert not await position.wait(1, 0.2)
            return monotonic() - began

    assert 0.2 <= asyncio.run(scene()) < 5
