"""Reading what one wrote: the wait ends when the read models have passed, or in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any

import psutil
import psycopg
from psycopg_pool import AsyncConnectionPool

from commands.signals import LocalSignal
from projections.position import PositionConfig, ReadPosition

# one at work may hold a lock that all need: stopped then, it would stop the whole server
READERS = """
    SELECT pid, coalesce(wait_event = 'ClientRead', false) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'reads'
"""


@asynccontextmanager
async def position_of(
    url: str, signal: LocalSignal, config: PositionConfig | None = None
) -> AsyncIterator[ReadPosition]:
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        url, min_size=1, max_size=2, open=False, kwargs={"application_name": "reads"}
    )
    async with pool:
        position = ReadPosition(pool, signal, config)
        try:
            yield position
        finally:
            await position.close()


def reach(url: str, position: int, where: str = "true") -> None:
    with psycopg.connect(url) as connection:
        statement = f"UPDATE owl_read.checkpoints SET position = {position} WHERE {where}"
        connection.execute(statement.encode())


@asynccontextmanager
async def hung_backends(url: str) -> AsyncIterator[None]:
    """Whoever reads the position by now is answered no more, and somebody does."""
    backends: list[psutil.Process] = []
    end = monotonic() + 30
    while not backends:
        assert monotonic() < end, "nobody is connected and at rest"
        backends = await asyncio.to_thread(suspended, url)
    try:
        yield
    finally:
        for backend in backends:
            with suppress(psutil.NoSuchProcess):
                backend.resume()


def suspended(url: str) -> list[psutil.Process]:
    """All that read, or none while one of them is at work."""
    with psycopg.connect(url) as connection:
        readers = connection.execute(READERS).fetchall()
    if not all(rests for _, rests in readers):
        return []
    backends = []
    for pid, _ in readers:
        with suppress(psutil.NoSuchProcess):  # one that was given up has left
            backend = psutil.Process(pid)
            backend.suspend()
            backends.append(backend)
    return backends


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


def test_while_signals_come_the_checkpoints_are_not_asked_for_the_same(read_url: str) -> None:
    async def scene() -> None:
        signal = LocalSignal()
        async with position_of(read_url, signal, PositionConfig(trusted_s=60)) as position:
            wait = asyncio.create_task(position.wait(1, 20))
            await asyncio.sleep(0)
            signal.notify(1)
            assert await wait
            await asyncio.to_thread(reach, read_url, 5)
            assert not await position.wait(5, 0.2)
            signal.notify(5)
            assert await position.wait(5, 20)

    asyncio.run(scene())


def test_a_signal_that_is_lost_is_made_up_for_by_asking(read_url: str) -> None:
    async def scene() -> None:
        signal = LocalSignal()
        async with position_of(read_url, signal) as position:
            wait = asyncio.create_task(position.wait(1, 20))
            await asyncio.sleep(0)
            signal.notify(1)
            assert await wait
            await asyncio.to_thread(reach, read_url, 5)
            assert await position.wait(5, 20)

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

    assert 0.2 <= asyncio.run(scene()) < 20


def test_a_signal_is_heard_while_the_read_connections_hang(read_url: str) -> None:
    async def scene() -> None:
        signal, config = LocalSignal(), PositionConfig(poll_deadline_s=60, trusted_s=0)
        async with position_of(read_url, signal, config) as position:
            assert not await position.wait(1, 0.5)
            async with hung_backends(read_url):
                for number in range(1, 6):
                    wait = asyncio.create_task(position.wait(number, 30))
                    await asyncio.sleep(2 * config.poll_first_s)  # now the poll hangs
                    signal.notify(number)
                    assert await wait

    asyncio.run(scene())


def test_read_connections_that_hang_are_replaced_and_the_checkpoints_asked_again(
    read_url: str,
) -> None:
    async def scene() -> None:
        config = PositionConfig(poll_deadline_s=0.2)
        async with position_of(read_url, LocalSignal(), config) as position:
            assert not await position.wait(1, 0.5)
            await asyncio.to_thread(reach, read_url, 5)
            async with hung_backends(read_url):
                assert await position.wait(5, 30)

    asyncio.run(scene())
