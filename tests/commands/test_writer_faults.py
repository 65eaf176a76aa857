"""The server dies, hangs or hangs up: nothing acknowledged is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import psycopg
import pytest

from commands.event_log.log import EventLog
from commands.writer import Writer
from domain.envelope import Context
from domain.ports import OutOfReach
from tests.commands.accounting import SECRETS, Credit, clock, context, credit, opened, writing
from tests.stack import LiveStack

pytestmark = pytest.mark.anyio

PROMISED_S = 3.0
TRIES = 3  # one pause of a busy machine is no broken promise; three in a row are
CLIENTS = 24
KILLS = 2
END_SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@asynccontextmanager
async def durable_writer(url: str) -> AsyncIterator[Writer]:
    with EventLog.open(url, secrets=SECRETS, require_durable=True) as log:
        async with Writer(log, clock) as writer:
            yield writer


async def run_until_answered(writer: Writer, command: Credit, asked: Context) -> bool:
    """As a client does: the same command again while the log is out of reach."""
    for _ in range(20):
        try:
            return (await writer.run(credit, command, asked)).replay_of is not None
        except OutOfReach:
            await asyncio.sleep(0.05)
    raise AssertionError("the log never came back")


async def until(acknowledged: list[UUID], count: int) -> None:
    async with asyncio.timeout(30):
        while len(acknowledged) < count:  # noqa: ASYNC110 - the clients are busy, not waiting
            await asyncio.sleep(0.005)


async def test_kills_of_the_server_under_load_lose_and_double_nothing(
    durable_stack: LiveStack,
) -> None:
    url = durable_stack.create_database()
    acknowledged: list[UUID] = []
    over = asyncio.Event()

    async def client(writer: Writer, account: UUID) -> None:
        while not over.is_set():
            asked = context(digest=b"d")
            await run_until_answered(writer, Credit(account=account), asked)
            acknowledged.append(asked.command_id)

    async with durable_writer(url) as writer:
        accounts = [uuid4() for _ in range(CLIENTS // 2)] * 2
        clients = [asyncio.create_task(client(writer, account)) for account in accounts]
        for kill in range(1, KILLS + 1):
            await until(acknowledged, 200 * kill)
            durable_stack.kill_postgres()
            await asyncio.to_thread(durable_stack.start_postgres)
        await until(acknowledged, len(acknowledged) + 200)
        over.set()
        await asyncio.gather(*clients)
    with opened(url) as log:
        events = log.feed().read(0, 1_000_000)
    commands = Counter(event.command_id for event in events)
    assert set(commands.values()) == {1}, "a retried command was doubled"
    assert set(acknowledged) <= set(commands), "an acknowledged command was lost"
    assert [event.position for event in events] == list(range(1, len(events) + 1))


async def all_refused(writer: Writer) -> float:
    """How long twenty commands wait to be told that nothing can be stored, in seconds."""
    began = time.monotonic()
    runs = [writer.run(credit, Credit(account=uuid4()), context()) for _ in range(20)]
    done = await asyncio.gather(*runs, return_exceptions=True)
    assert all(isinstance(outcome, OutOfReach) for outcome in done)
    return time.monotonic() - began


async def test_while_the_server_is_down_every_command_is_answered_in_time(
    durable_stack: LiveStack,
) -> None:
    url = durable_stack.create_database()
    async with durable_writer(url) as writer:
        await writer.run(credit, Credit(account=uuid4()), context())
        durable_stack.kill_postgres()
        took_s = [await all_refused(writer)]
        while took_s[-1] >= PROMISED_S + 0.5 and len(took_s) < TRIES:
            took_s.append(await all_refused(writer))
        assert min(took_s) < PROMISED_S + 0.5
        await asyncio.to_thread(durable_stack.start_postgres)
        await run_until_answered(writer, Credit(account=uuid4()), context(digest=b"d"))


async def test_a_server_that_hangs_is_left_and_what_it_was_told_is_not_doubled(
    durable_stack: LiveStack,
) -> None:
    """SIGSTOP right after a commit was sent: it may commit when it wakes, or never."""
    url = durable_stack.create_database()
    account = uuid4()
    async with durable_writer(url) as writer:
        await writer.run(credit, Credit(account=account), context())
        wire = writer._session._appending
        assert wire is not None
        os.kill(wire.backend_pid, signal.SIGSTOP)
        try:
            asked = context(digest=b"d")
            with pytest.raises(OutOfReach):
                await writer.run(credit, Credit(account=account), asked)
        finally:
            os.kill(wire.backend_pid, signal.SIGCONT)
        await run_until_answered(writer, Credit(account=account), asked)
    with opened(url) as log:
        assert len(log.find_command(asked.command_id)) == 1
        assert log.heads([account]) == {account: 2}


async def test_a_lost_connection_is_replaced_without_anybody_noticing(
    database_url: str,
) -> None:
    account = uuid4()
    results: list[int] = []

    async def end_sessions(times: int) -> None:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            for number in range(1, times + 1):
                while len(results) < 5 * number:  # noqa: ASYNC110 - at any moment of a command
                    await asyncio.sleep(0.001)
                await connection.execute(END_SESSIONS)

    async with writing(database_url) as writer, asyncio.TaskGroup() as tasks:
        tasks.create_task(end_sessions(10))
        for _ in range(60):
            committed = await writer.run(credit, Credit(account=account), context())
            results.append(committed.result)
    assert results == list(range(1, 61))
    with opened(database_url) as log:
        assert log.heads([account]) == {account: 60}
