"""The runner: exactly once whoever else runs or dies, and one poison stops one read model."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg
import pytest

from commands.loop import end
from commands.signals import LocalSignal
from domain.envelope import Recorded
from domain.money import transfer
from domain.tasks.events import TaskStarted
from domain.wallet.events import BalanceAdjusted
from projections.catalogue import BUSINESS
from projections.migrate import prepare
from projections.runner import Runner, RunnerConfig
from projections.tasks import TASKS
from projections.users import USERS
from tests.projections.feed import NOON, ListFeed
from tests.projections.history import RandomFarm
from tests.projections.tables import finish, naive, stored

SMALL = RunnerConfig(batch_events=7, rows_kept=5)
WAITING = RunnerConfig(batch_events=5_000)
"""Never a full batch, so that no write is left under way."""


def runner_of(feed: ListFeed, url: str, config: RunnerConfig = SMALL) -> Runner:
    return Runner(feed, url, BUSINESS, projected=None, config=config)


def assert_exact(url: str, events: Sequence[Recorded[Any]]) -> None:
    for model in BUSINESS:
        assert stored(url, model) == naive(model, events)


def stopped(url: str) -> dict[str, tuple[int, int]]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT read_model, position, stopped_at FROM owl_read.checkpoints"
            " WHERE stopped_at IS NOT NULL"
        ).fetchall()
    return {name: (position, at) for name, position, at in rows}


def test_two_runners_at_once_project_every_event_once(read_url: str) -> None:
    feed = ListFeed(RandomFarm(1).happen(300))
    runners = [runner_of(feed, read_url) for _ in range(2)]

    def follow(runner: Runner) -> None:
        while runner.position < feed.head():
            runner.step()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(follow, runners))
    for runner in runners:
        runner.close()
    assert_exact(read_url, feed.events)


def test_the_loser_of_a_race_forgets_what_it_remembers(read_url: str) -> None:
    feed = ListFeed(RandomFarm(2).happen(200))
    longer = RandomFarm(2).happen(230)
    slow, fast = runner_of(feed, read_url, WAITING), runner_of(feed, read_url)
    finish(slow)
    feed.events = longer[: len(feed.events) + 20]
    finish(fast)
    assert slow.step() == 0, "another runner was faster"
    feed.events = longer
    finish(slow)
    for runner in (slow, fast):
        runner.close()
    assert_exact(read_url, feed.events)


class KillingFeed(ListFeed):
    """Ends the runner's connection between its reading and its writing, every second time.

    Its batches are never full, so that the runner does not read ahead.
    """

    def __init__(self, events: Sequence[Recorded[Any]], url: str) -> None:
        super().__init__(events)
        self.url = url
        self.reads = 0

    def read(self, after: int, limit: int) -> Sequence[Recorded[Any]]:
        self.reads += 1
        if self.reads % 2:
            with psycopg.connect(self.url) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND usename = current_user"
                    " AND pid <> pg_backend_pid()"
                )
        return super().read(after, limit - 1)


def test_a_runner_whose_connection_dies_goes_on_without_a_gap_or_a_repeat(
    read_url: str,
) -> None:
    feed = KillingFeed(RandomFarm(3).happen(60), read_url)
    runner = runner_of(feed, read_url)
    deaths = 0
    while runner.position < feed.head():
        try:
            runner.step()
        except psycopg.OperationalError:
            deaths += 1
    runner.close()
    assert deaths > 3
    assert_exact(read_url, feed.events)


def test_a_runner_that_dies_before_its_commit_leaves_nothing_behind(read_url: str) -> None:
    feed = ListFeed(RandomFarm(4).happen(80))
    with psycopg.connect(read_url) as blocker:
        # the runner reaches its last statements and waits there, when it is cut off
        blocker.execute("LOCK TABLE rm_users_g1.users IN ACCESS EXCLUSIVE MODE")
        runner = runner_of(feed, read_url, WAITING)
        errors: list[BaseException] = []

        def one_step() -> None:
            try:
                runner.step()
            except psycopg.OperationalError as error:
                errors.append(error)

        thread = threading.Thread(target=one_step)
        thread.start()
        waiting = (
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        with psycopg.connect(read_url, autocommit=True) as killer:
            while not killer.execute(waiting).fetchall():
                thread.join(0.01)
        thread.join(30)
    assert len(errors) == 1
    assert all(table == {} for model in BUSINESS for table in stored(read_url, model).values())
    finish(runner)
    runner.close()
    assert_exact(read_url, feed.events)


def test_a_write_left_under_way_that_fails_is_done_again(read_url: str) -> None:
    feed = ListFeed(RandomFarm(10).happen(200))
    runner = runner_of(feed, read_url)
    with psycopg.connect(read_url, autocommit=True) as killer:
        for _ in range(5):
            with suppress(psycopg.OperationalError):  # of the write before, killed on its way
                runner.step()
            killer.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = current_user"
                " AND pid <> pg_backend_pid()"
            )
            with suppress(psycopg.OperationalError):
                runner.step()
    with suppress(psycopg.OperationalError):  # of the last, which that step left under way
        finish(runner)
    finish(runner)
    runner.close()
    assert_exact(read_url, feed.events)


def test_a_poison_event_stops_its_read_model_there_and_no_other(
    read_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    feed = ListFeed(RandomFarm(5).happen(60))
    sound = len(feed.events)
    nowhere = UUID(int=404)
    feed.append(
        nowhere, TaskStarted(task_id=nowhere, attempt=1, server_id=nowhere, started_at=NOON)
    )
    later = RandomFarm(5).happen(90)[sound:]
    for event in later:
        feed.append(event.stream, event.fact, at=event.recorded_at)
    runner = runner_of(feed, read_url, WAITING)
    with caplog.at_level(logging.CRITICAL):
        finish(runner)
    runner.close()
    assert stopped(read_url) == {"tasks": (sound, sound + 1)}
    assert f"read model tasks (generation 1) has stopped at position {sound + 1}" in caplog.text
    assert stored(read_url, TASKS) == naive(TASKS, feed.events[:sound])
    for model in BUSINESS:
        if model is not TASKS:
            assert stored(read_url, model) == naive(model, feed.events)


@pytest.mark.parametrize("config", [SMALL, WAITING], ids=["under way", "waited for"])
def test_rows_that_postgres_refuses_stop_the_read_model_at_the_very_event(
    read_url: str, caplog: pytest.LogCaptureFixture, config: RunnerConfig
) -> None:
    farm = RandomFarm(6)
    farm.happen(40)
    feed = ListFeed(farm.events)
    user = farm.users[0]
    sound = len(feed.events)
    overdraft = BalanceAdjusted(
        user_id=user,
        delta_fen=-(10**9),
        before_fen=0,
        after_fen=-(10**9),
        reason="no handler would say this",
        postings=transfer(-(10**9), source="granted", target=f"available/{user}"),
    )
    feed.append(user, overdraft)
    for event in RandomFarm(6).happen(80)[sound:]:
        feed.append(event.stream, event.fact, at=event.recorded_at)
    runner = runner_of(feed, read_url, config)
    finish(runner)
    runner.close()
    assert stopped(read_url) == {"users": (sound, sound + 1)}
    assert "users_check" in caplog.text
    assert stored(read_url, USERS) == naive(USERS, feed.events[:sound])
    assert stored(read_url, TASKS) == naive(TASKS, feed.events)


def test_read_models_that_are_ahead_of_the_log_stop_loudly(
    read_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    feed = ListFeed(RandomFarm(7).happen(30))
    runner = runner_of(feed, read_url)
    finish(runner)
    runner.close()
    restored = ListFeed(feed.events[:-3])
    runner = runner_of(restored, read_url)
    assert runner.step() == 0
    runner.close()
    assert set(stopped(read_url)) == {model.name for model in BUSINESS}
    assert "is it an older copy?" in caplog.text


def test_a_generation_that_other_folds_made_is_reported_and_left_alone(read_url: str) -> None:
    with psycopg.connect(read_url) as connection:
        connection.execute(
            "UPDATE owl_read.checkpoints SET fingerprint = 'older' WHERE read_model = 'users'"
        )
    assert prepare(read_url) == ("users",)
    feed = ListFeed(RandomFarm(8).happen(20))
    runner = runner_of(feed, read_url)
    finish(runner)
    runner.close()
    assert not any(stored(read_url, USERS).values())
    assert stored(read_url, TASKS) == naive(TASKS, feed.events)


def test_nobody_is_told_of_a_position_that_an_outdated_read_model_has_not_reached(
    read_url: str,
) -> None:
    story = RandomFarm(9).happen(120)
    feed = ListFeed(story[:40])
    runner = runner_of(feed, read_url)
    finish(runner)
    assert runner.position == 40
    with psycopg.connect(read_url) as connection:
        connection.execute(
            "UPDATE owl_read.checkpoints SET fingerprint = 'older' WHERE read_model = 'users'"
        )
    runner.close()
    feed.events = story
    finish(runner)
    assert (runner.position, len(story) > 40) == (40, True)
    runner.close()


def test_run_follows_the_log_when_the_signal_comes_and_tells_how_far_it_is(
    read_url: str,
) -> None:
    feed = ListFeed()
    farm = RandomFarm(9)
    farm.happen(20)

    async def follow() -> None:
        wake, projected = LocalSignal(), LocalSignal()
        # without the signal nothing would be seen for a minute
        slow = RunnerConfig(poll_first_s=60, poll_longest_s=60)
        runner = Runner(feed, read_url, BUSINESS, projected=projected, config=slow)
        running = asyncio.create_task(runner.run(wake))
        for event in farm.events:
            feed.events.append(event)
            wake.notify(event.position)
            assert await projected.wait(event.position - 1, 20) >= event.position
        await end([running])

    asyncio.run(follow())
    assert_exact(read_url, farm.events)
