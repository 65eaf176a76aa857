"""A reader that only ever asks for what comes after its position misses nothing."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest

from commands.event_log.log import EventLog
from domain.ports import OutOfReach
from tests.commands.accounting import Credit, TooRich, context, credit, opened, writing

WRITERS = (1, 8, 8)
"""How many commands each gives at a time: alone they are inserted by another statement."""
COMMANDS = 240
SHARED = [uuid4() for _ in range(4)]
DEADLINE_S = 60
PROMISED_S = 3.0
TRIES = 3  # one pause of a busy machine is no broken promise; three in a row are


async def write(url: str, together: int) -> int:
    """Many small rounds, some refused, some in conflict with the other writers."""

    async def submit(writer: object, number: int) -> int:
        account: UUID = SHARED[number % len(SHARED)] if number % 3 else uuid4()
        command = Credit(account=account, limit_fen=0 if number % 7 == 0 else 10**6)
        try:
            await writer.run(credit, command, context())  # type: ignore[attr-defined]
        except TooRich:
            return 0
        return 1

    async with writing(url) as writer:
        done = 0
        for start in range(0, COMMANDS, together):
            numbers = range(start, start + together)
            done += sum(await asyncio.gather(*(submit(writer, n) for n in numbers)))
        return done


def roll_back(url: str, writers: list[Future[int]]) -> int:
    """Appends that are never committed, made under the lock like all others."""
    rolled_back = 0
    with psycopg.connect(url) as connection:
        while not all(writer.done() for writer in writers):
            connection.execute("SELECT pg_advisory_xact_lock(7305068, 1)")
            connection.execute(
                "INSERT INTO owl_log.events SELECT coalesce(max(notification_id), 0) + 1,"
                " gen_random_uuid(), 1, 'x', '{}', now(), 'x', gen_random_uuid(), 'x'"
                " FROM owl_log.events"
            )
            connection.rollback()
            rolled_back += 1
    return rolled_back


def tail(log: EventLog, writers: list[Future[int]]) -> list[int]:
    """Positions in the order they were seen, until the writers are done and all is read."""
    feed, seen, deadline = log.feed(), [0], time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        over = all(writer.done() for writer in writers)
        found = feed.read(seen[-1], 7)
        seen += [event.position for event in found]
        if over and not found:
            return seen[1:]
    pytest.fail("the writers did not end in time")


def test_a_tailing_reader_sees_every_event_of_concurrent_writers(database_url: str) -> None:
    with opened(database_url) as log, ThreadPoolExecutor() as pool:
        writers = [pool.submit(asyncio.run, write(database_url, n)) for n in WRITERS]
        rolled_back = pool.submit(roll_back, database_url, writers)
        tails = [pool.submit(tail, log, writers) for _ in range(2)]
        written = sum(writer.result() for writer in writers)
        assert rolled_back.result() > 0
        for seen in tails:
            assert seen.result() == list(range(1, written + 1))


def test_analyze_does_not_wait_for_appends_nor_they_for_it(database_url: str) -> None:
    async def append_beside_analyze() -> None:
        with psycopg.connect(database_url) as connection:
            async with writing(database_url) as writer:
                connection.execute("ANALYZE owl_log.events")  # holds its lock until the end
                await writer.run(credit, Credit(account=uuid4()), context())

    asyncio.run(append_beside_analyze())


def test_an_append_that_cannot_get_the_lock_gives_up_in_time(database_url: str) -> None:
    async def append_behind_a_stuck_lock() -> float:
        with psycopg.connect(database_url) as connection:
            async with writing(database_url) as writer:
                connection.execute("SELECT pg_advisory_xact_lock(7305068, 1)")
                began = time.monotonic()
                with pytest.raises(OutOfReach):
                    await writer.run(credit, Credit(account=uuid4()), context())
                took_s = time.monotonic() - began
                connection.rollback()
                await writer.run(credit, Credit(account=uuid4()), context())
                return took_s

    assert any(
        asyncio.run(append_behind_a_stuck_lock()) < PROMISED_S + 0.5 for _ in range(TRIES)
    )
