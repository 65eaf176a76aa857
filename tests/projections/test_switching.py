"""Readers see a whole, current read model through every switch and every rollback."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import accumulate
from typing import Any, Self

import psycopg
import pytest
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

from commands import accounts
from projections import switching
from projections.catalogue import BUSINESS
from projections.not_possible import NotPossible
from projections.pace import BuildingConfig
from projections.rebuild import Log, rebuild
from projections.runner import Runner, RunnerConfig
from projections.statements import schema_of
from projections.switching import NoWayBack, drop_kept, roll_back
from projections.task_events import TASK_EVENTS
from projections.tasks import TASKS
from projections.users import USERS
from tests.projections.feed import ListFeed, ListHistory
from tests.projections.history import RandomFarm
from tests.projections.tables import finish, naive, project, stored

APPEND_LOCK = (42, 1)
POLLERS = 64
WAITED_FOR = """
    SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = %s::regclass)
"""
KEEP_UP = RunnerConfig(batch_events=9, poll_longest_s=0.01)


def door_to(feed: ListFeed) -> Log:
    return Log(feed=feed, history=ListHistory(feed, 50), append_lock=APPEND_LOCK)


class Busy:
    """A log that grows, and a runner that follows it, each in a thread of its own."""

    def __init__(self, url: str, seed: int, steps: int) -> None:
        self.url = url
        self.story = RandomFarm(seed).happen(steps)
        self.feed = ListFeed(self.story[:40])
        self.written, self.stop = threading.Event(), threading.Event()
        self.appends = threading.Thread(target=self._append, daemon=True)
        self.follows = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self.appends.start()
        self.follows.start()
        return self

    def __exit__(self, *_: object) -> None:
        # whoever follows ends last: an append that was under way has to be followed as well
        for over, thread in ((self.written, self.appends), (self.stop, self.follows)):
            over.set()
            thread.join(60)
            assert not thread.is_alive()

    def _append(self) -> None:
        with psycopg.connect(self.url) as connection:
            while not self.written.wait(0.01) and len(self.feed.events) < len(self.story):
                connection.execute(f"SELECT pg_advisory_xact_lock{APPEND_LOCK}".encode())
                self.feed.events.append(self.story[len(self.feed.events)])
                connection.commit()

    def _follow(self) -> None:
        runner = Runner(self.feed, self.url, BUSINESS, projected=None, config=KEEP_UP)
        while not self.stop.is_set():
            if not runner.step():
                self.stop.wait(0.005)
        finish(runner)
        runner.close()


async def poll(pool: AsyncConnectionPool, busy: Busy, over: asyncio.Event) -> int:
    """Read on and on, each time with what was read before as the token; how often."""
    told = [0, *accumulate(type(event.fact) in TASK_EVENTS.facts for event in busy.story)]
    reads = 0
    while not over.is_set():
        async with pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT position FROM owl_read.checkpoints"
                " WHERE read_model = 'task_events' AND state = 'live'"
            )
            row = await cursor.fetchone()
            assert row is not None
            token = row[0]
            cursor = await connection.execute("SELECT count(*) FROM read.task_events")
            row = await cursor.fetchone()
            assert row is not None
            assert row[0] >= told[token], "older than the token"
        reads += 1
        await asyncio.sleep(0)
    return reads


async def polled(busy: Busy, switches: int) -> int:
    """Switch and roll back under ``POLLERS`` readers; how often they have read."""
    over = asyncio.Event()
    pool = AsyncConnectionPool(
        busy.url, min_size=8, max_size=8, open=False, timeout=60, kwargs={"autocommit": True}
    )

    def act() -> None:
        for number in range(switches):
            if number % 3 == 2:
                roll_back(busy.url, TASK_EVENTS, append_lock=APPEND_LOCK)
            else:
                (done,) = rebuild(
                    busy.url,
                    door_to(busy.feed),
                    [TASK_EVENTS],
                    progress=lambda _: None,
                    config=BuildingConfig(chunk_events=40),
                )
                assert done.switched
                assert done.differing == ()

    async with pool:
        pollers = [asyncio.create_task(poll(pool, busy, over)) for _ in range(POLLERS)]
        try:
            await asyncio.to_thread(act)
        finally:
            over.set()
        return sum(await asyncio.gather(*pollers))


def read(connection: psycopg.Connection[Any], view: str) -> None:
    """Read a view, and hold it as long as the transaction lasts."""
    if connection.info.transaction_status is TransactionStatus.IDLE:
        connection.execute("BEGIN")
    connection.execute(sql.SQL("SELECT FROM read.{} LIMIT 1").format(sql.Identifier(view)))


def waits_for(connection: psycopg.Connection[Any], view: str) -> bool:
    """Whether anybody does."""
    return connection.execute(WAITED_FOR, (f"read.{view}",)).fetchone() == (True,)


def until(connection: psycopg.Connection[Any], view: str) -> None:
    deadline = time.monotonic() + 30
    while not waits_for(connection, view):
        assert time.monotonic() < deadline, "nobody waits"


def test_sixty_four_readers_see_neither_an_error_nor_old_rows_through_six_switches(
    read_url: str,
) -> None:
    with Busy(read_url, 31, 500) as busy:
        assert asyncio.run(polled(busy, 6)) > POLLERS
    assert stored(read_url, TASK_EVENTS) == naive(TASK_EVENTS, busy.feed.events)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_sixty_four_readers_through_fifty_switches(read_url: str) -> None:
    with Busy(read_url, 32, 4_000) as busy:
        assert asyncio.run(polled(busy, 50)) > POLLERS
    assert stored(read_url, TASK_EVENTS) == naive(TASK_EVENTS, busy.feed.events)


def test_a_reader_of_two_views_is_not_ended_by_the_switch_that_it_meets(read_url: str) -> None:
    feed = ListFeed(RandomFarm(37).happen(60))
    project(read_url, feed.events)
    rebuild(read_url, door_to(feed), [TASKS], progress=lambda _: None)
    first, second, third = TASKS.relations
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(2))
        one, two, watch = (
            stack.enter_context(psycopg.connect(read_url, autocommit=True)) for _ in range(3)
        )
        read(one, second)  # here the switch waits, when it has the first view
        read(two, third)
        switched = pool.submit(roll_back, read_url, TASKS, append_lock=APPEND_LOCK)
        until(watch, second)
        met = pool.submit(read, two, first)
        while not met.done() and not waits_for(watch, first):
            time.sleep(0.001)
        one.rollback()  # it goes on to the third view, whose reader waits for the first one
        met.result(30)
        two.rollback()
        assert switched.result(30).after_generation == 1


def test_what_was_written_after_a_switch_is_there_after_the_way_back(read_url: str) -> None:
    story = RandomFarm(33).happen(120)
    feed = ListFeed(story[:100])
    project(read_url, feed.events)
    rebuild(read_url, door_to(feed), [USERS], progress=lambda _: None)
    feed.events = story
    project(read_url, feed.events)
    back = roll_back(read_url, USERS, append_lock=APPEND_LOCK)
    assert (back.before_generation, back.after_generation) == (2, 1)
    assert back.at_position == len(story)
    assert stored(read_url, USERS) == naive(USERS, story)
    forth = roll_back(read_url, USERS, append_lock=APPEND_LOCK)
    assert forth.after_generation == 2


def test_there_is_no_way_back_to_rows_that_are_older_than_those_shown(read_url: str) -> None:
    story = RandomFarm(34).happen(60)
    feed = ListFeed(story[:30])
    project(read_url, feed.events)
    with pytest.raises(NoWayBack, match="nothing_kept"):
        roll_back(read_url, USERS, append_lock=APPEND_LOCK)
    with psycopg.connect(read_url) as connection:
        connection.execute("UPDATE owl_read.checkpoints SET fingerprint = 'older'")
    rebuild(read_url, door_to(feed), [USERS], progress=lambda _: None)
    feed.events = story
    project(read_url, feed.events)
    with pytest.raises(NoWayBack, match="kept_is_behind"):
        roll_back(read_url, USERS, append_lock=APPEND_LOCK, patience=2)
    assert drop_kept(read_url, USERS) == (1,)
    with pytest.raises(NoWayBack, match="nothing_kept"):
        drop_kept(read_url, USERS)
    assert stored(read_url, USERS) == naive(USERS, story)


def test_what_is_read_for_long_is_not_dropped_and_what_feeds_it_goes_on(
    read_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "INSIST_TO_DROP_S", 0.3)
    story = RandomFarm(35).happen(60)
    feed = ListFeed(story[:30])
    project(read_url, feed.events)
    rebuild(read_url, door_to(feed), [USERS], progress=lambda _: None)
    with psycopg.connect(read_url) as reader:
        reader.execute(f"SELECT count(*) FROM {schema_of('users', 1)}.users".encode())
        with pytest.raises(NotPossible, match="kept_is_read"):
            drop_kept(read_url, USERS)
        project(read_url, story)
    assert drop_kept(read_url, USERS) == (1,)
    assert stored(read_url, USERS) == naive(USERS, story)


def test_a_generation_that_is_dropped_while_it_is_fed_stops_nothing_and_alarms_nobody(
    read_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    farm = RandomFarm(36)
    story = farm.happen(40)
    before = len(story)
    feed = ListFeed(story)
    project(read_url, feed.events)
    rebuild(read_url, door_to(feed), [USERS], progress=lambda _: None)
    for user in farm.users:  # their rows are remembered no more, and are loaded
        farm.run(accounts.log_in, accounts.LogIn(user_id=user, token_version=1))
    forgetful = RunnerConfig(batch_events=9, rows_kept=0)
    with closing(Runner(feed, read_url, [USERS], projected=None, config=forgetful)) as runner:
        finish(runner)
        assert drop_kept(read_url, USERS) == (1,)
        feed.events = farm.events
        with caplog.at_level(logging.CRITICAL):
            finish(runner)
    assert len(farm.events) > before
    assert caplog.text == ""
    assert stored(read_url, USERS) == naive(USERS, farm.events)
