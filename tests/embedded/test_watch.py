"""A server that crashes comes back, and the caller hears of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import psycopg
import pytest

from api.embedded.failure import StackFailed
from api.embedded.nats import NatsAuth
from api.embedded.stack import EmbeddedStack, NatsOptions, PostgresOptions, StackConfig
from api.embedded.watch import Incident, WatchConfig
from commands.loop import end
from tests.stack import data_directory

DEADLINE_S = 30


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with data_directory() as directory:
        yield directory


def configured(data_dir: Path) -> StackConfig:
    return StackConfig(
        data_dir=data_dir,
        postgres=PostgresOptions(),  # durable: these tests kill it and count the rows
        nats=NatsOptions(auth=NatsAuth(platform_password="password")),
        watch=WatchConfig(poll_s=0.02, first_delay_s=0.02, attempts_limit=2),
    )


@asynccontextmanager
async def watched(stack: EmbeddedStack) -> AsyncIterator[asyncio.Queue[Incident]]:
    heard: asyncio.Queue[Incident] = asyncio.Queue()
    task = asyncio.create_task(stack.watch(heard.put_nowait))
    yield heard
    await end([task])
    assert task.cancelled()


async def next_of(heard: asyncio.Queue[Incident]) -> tuple[str, str]:
    incident = await asyncio.wait_for(heard.get(), DEADLINE_S)
    return (incident.server, incident.happened)


@pytest.mark.anyio
async def test_each_killed_server_is_noticed_and_works_again(data_dir: Path) -> None:
    with EmbeddedStack(configured(data_dir)) as stack:
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        async with watched(stack) as heard:
            for name in ("PostgreSQL", "NATS"):
                stack.servers[name].kill()
                assert await next_of(heard) == (name, "crashed")
                assert await next_of(heard) == (name, "restarted")
            with psycopg.connect(stack.database_url) as connection:
                assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
            client = await nats.connect(stack.nats_url)
            await client.close()


@pytest.mark.anyio
async def test_a_server_that_was_stopped_is_not_brought_back(data_dir: Path) -> None:
    with EmbeddedStack(configured(data_dir)) as stack:
        async with watched(stack) as heard:
            stack.servers["NATS"].stop()
            stack.servers["PostgreSQL"].kill()
            assert await next_of(heard) == ("PostgreSQL", "crashed")
            assert await next_of(heard) == ("PostgreSQL", "restarted")
            assert heard.empty()
            assert stack.servers["NATS"].pid is None


@pytest.mark.anyio
async def test_a_server_that_cannot_come_back_ends_the_watch_with_its_reason(
    data_dir: Path,
) -> None:
    heard: list[Incident] = []
    with EmbeddedStack(configured(data_dir)) as stack:
        data = (data_dir / "servers" / "postgres" / "data").resolve()
        (data / "global" / "pg_control").rename(data / "lost")
        stack.servers["PostgreSQL"].kill()
        with pytest.raises(ExceptionGroup) as failed:
            await asyncio.wait_for(stack.watch(heard.append), DEADLINE_S)
        assert failed.group_contains(StackFailed, match="did not come back in 2 attempts")
    assert [incident.happened for incident in heard] == [
        "crashed",
        "not_started",
        "not_started",
    ]
    assert "pg_control" in heard[-1].detail
