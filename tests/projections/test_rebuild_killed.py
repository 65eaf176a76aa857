"""A rebuild that is killed anywhere goes on where it was, and ends with the same rows."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from random import Random
from typing import Any

import psycopg
import pytest

from commands.event_log.batch import APPEND_LOCK
from commands.event_log.log import EventLog
from projections.catalogue import BUSINESS
from projections.comparing import Buckets
from projections.jobs import AT_WORK, read_jobs
from projections.migrate import prepare
from projections.pace import BuildingConfig
from projections.progress import Progress, Stage
from projections.rebuild import Log, rebuild
from projections.rebuilt import Hearing, Rebuilt
from projections.runner import Runner
from projections.status import read_statuses
from tests.audit.stories import insert, played
from tests.commands.accounting import SECRETS
from tests.projections.tables import checksums, finish
from tests.stack import LiveStack

EVENTS = 400
SMALL = BuildingConfig(chunk_events=15, batch_events=40, rows_kept=12)


MOMENTS: tuple[tuple[Stage, float], ...] = (
    ("folding", 1.0),
    ("folding", 0.5),
    ("indexing", 0.02),
    ("comparing", 0.02),
    ("switching", 0.01),
)
"""In which stage a rebuild is killed, and within which part of the longest time."""


def rebuild_all(
    url: str, *, die_in: Stage | None = None, die_after_s: float = 0.0
) -> tuple[Rebuilt, ...]:
    """In a process of its own, which a ``kill -9`` ends."""

    def began(progress: Progress) -> None:
        if progress.stage == die_in and not timer.is_alive():
            timer.start()

    timer = threading.Timer(die_after_s, os.kill, (os.getpid(), signal.SIGKILL))
    with EventLog.open(url, secrets=SECRETS, require_durable=False) as log:
        door = Log(feed=log.feed(), history=log.history(), append_lock=APPEND_LOCK)
        return rebuild(url, door, BUSINESS, progress=began, config=SMALL)


def live_rows(url: str) -> dict[str, Buckets]:
    live = {
        each.read_model: each.generation
        for each in read_statuses(url, {"business": 0, "telemetry": 0})
        if each.state == "live"
    }
    return {model.name: checksums(url, model, live[model.name]) for model in BUSINESS}


def project_live(url: str) -> None:
    with EventLog.open(url, secrets=SECRETS, require_durable=False) as log:
        runner = Runner(log.feed(), url, BUSINESS, projected=None)
        finish(runner)
        runner.close()


def killed_often(url: str, kills: int, seed: int, *, longest_s: float) -> set[str]:
    """Kill until it has hit ``kills`` times; in which steps it hit.

    What was committed when one was killed is where the next one begins, if not further.
    """
    dice, hits, steps = Random(seed), 0, set[str]()
    committed: dict[tuple[str, int], int] = {}
    before = live_rows(url)
    while hits < kills:
        stage, part = MOMENTS[hits % len(MOMENTS)]
        after_s = dice.uniform(0.0, part * longest_s)
        victim = forked(url, die_in=stage, die_after_s=after_s)
        victim.join(60)
        assert victim.exitcode in {0, -signal.SIGKILL}
        if victim.exitcode:
            hits += 1
            with psycopg.connect(url) as connection:
                jobs = read_jobs(connection).values()
            steps |= {job.step for job in jobs}
            for job in jobs:
                assert job.began_from >= committed.get((job.read_model, job.generation), 0)
            committed = {(job.read_model, job.generation): job.position for job in jobs}
        assert live_rows(url) == before, "queries see whole rows, always"
    return steps


def forked(url: str, **when: Any) -> ForkServerProcess:
    """``rebuild_all``, at work."""
    processes = get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    victim = processes.Process(target=rebuild_all, args=(url,), kwargs=when)
    victim.start()
    return victim


def database_killed(stack: LiveStack, url: str, after_s: float) -> str | None:
    """Under a rebuild that is at work; in which step."""
    victim = forked(url)
    while victim.is_alive() and at_work(url) is None:
        time.sleep(0.01)  # the moment is the test
    victim.join(after_s)
    step = at_work(url)
    stack.kill_postgres()
    stack.start_postgres()
    victim.join(60)
    assert not victim.is_alive()
    return step


def at_work(url: str) -> str | None:
    """The step of some rebuild that is at work."""
    with suppress(psycopg.OperationalError), psycopg.connect(url) as connection:
        for job in read_jobs(connection).values():
            if job.step in AT_WORK and not job.interrupted:
                return job.step
    return None


def test_killed_at_eight_random_points_it_ends_with_the_rows_of_the_live_ones(
    database_url: str,
) -> None:
    prepare(database_url)
    with psycopg.connect(database_url) as connection:
        insert(connection, played(7, EVENTS).stored())
    project_live(database_url)
    steps = killed_often(database_url, 8, seed=7, longest_s=0.8)
    assert "folding" in steps
    for rebuilt in rebuild_all(database_url):
        assert (rebuilt.compared, rebuilt.differing) == (True, ())


def test_what_was_folded_before_the_kill_is_not_folded_again(read_url: str) -> None:
    with psycopg.connect(read_url) as connection:
        insert(connection, played(8, EVENTS).stored())
    project_live(read_url)
    started: list[int] = []

    class Died(Exception):
        pass

    def die_half_way(progress: Progress) -> None:
        if progress.stage == "indexing":
            raise Died

    with EventLog.open(read_url, secrets=SECRETS, require_durable=False) as log:
        door = Log(feed=log.feed(), history=log.history(), append_lock=APPEND_LOCK)
        with pytest.raises(Died):
            rebuild(read_url, door, BUSINESS, progress=die_half_way, config=SMALL)
        rebuild(
            read_url,
            door,
            BUSINESS,
            progress=lambda _: None,
            hearing=Hearing(
                began=lambda opened, _upto: started.extend(
                    each.generation.position for each in opened
                )
            ),
            config=SMALL,
        )
        assert set(started) == {door.feed.head()}


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_killed_a_hundred_times_and_the_database_with_it(durable_stack: LiveStack) -> None:
    url = durable_stack.create_database()
    prepare(url)
    with psycopg.connect(url) as connection:
        insert(connection, played(9, 2_000).stored())
    project_live(url)
    dice, steps, database_steps = Random(9), set[str](), list[str]()
    for seed in range(9):
        steps |= killed_often(url, 10, seed, longest_s=2.0)
        if (step := database_killed(durable_stack, url, dice.uniform(0.0, 1.0))) is not None:
            database_steps.append(step)
    while len(database_steps) < 10:
        if (step := database_killed(durable_stack, url, dice.uniform(0.0, 1.0))) is not None:
            database_steps.append(step)
    assert steps >= AT_WORK
    for rebuilt in rebuild_all(url):
        assert (rebuilt.compared, rebuilt.differing) == (True, ())
