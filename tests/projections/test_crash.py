"""What was said to be projected is projected, whatever happens to Postgres afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from commands.signals import LocalSignal
from projections.catalogue import BUSINESS
from projections.migrate import prepare
from projections.position import REACHED, ReadPosition
from projections.runner import Runner
from tests.projections.farm import Farm
from tests.projections.feed import ListFeed
from tests.projections.tables import finish
from tests.stack import LiveStack


@pytest.fixture
def durable_url(durable_stack: LiveStack) -> Iterator[str]:
    url = durable_stack.create_database()
    prepare(url)
    yield url
    durable_stack.drop_database(url)


def reached(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(REACHED).fetchone()
    assert row is not None
    return int(row[0])


def test_a_position_that_was_told_or_seen_outlives_kill_9_of_postgres(
    durable_stack: LiveStack, durable_url: str
) -> None:
    farm, told = Farm(0), LocalSignal()
    farm.register()
    runner = Runner(ListFeed(farm.events), durable_url, BUSINESS, projected=told)

    async def seen(upto: int) -> bool:
        pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            durable_url, min_size=1, max_size=1, open=False
        )
        async with pool:
            position = ReadPosition(pool, LocalSignal())
            assert not await position.wait(upto, 0)
            projecting = asyncio.create_task(asyncio.to_thread(finish, runner))
            passed = await position.wait(upto, 20)
            durable_stack.kill_postgres()  # at once: nothing has time to reach the disk late
            await asyncio.gather(projecting, return_exceptions=True)
            await position.close()
        return passed

    head = len(farm.events)
    assert asyncio.run(seen(head))
    durable_stack.start_postgres()
    assert reached(durable_url) == head
    runner.close()
    finish(runner)  # what was seen may have been seen before the runner had its answer
    runner.close()
    assert asyncio.run(told.wait(0, 0)) == head
