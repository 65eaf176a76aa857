"""A rebuild that is killed anywhere goes on where it was, and ends with the same rows."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import get_context
from random import Random

import psycopg
import pytest

from commands.event_log.batch import APPEND_LOCK
from commands.event_log.log import EventLog
from projections.catalogue import BUSINESS
from projections.comparing import Buckets
from projections.jobs import read_jobs
from projections.migrate import prepare
from projections.pace import BuildingConfig
from projections.progress import Progress
from projections.rebuild import Log, Rebuilt, rebuild
from projections.runner import Runner
from projections.status import read_statuses
from tests.audit.stories import insert, played
from tests.commands.accounting import SECRETS
from tests.projections.tables import checksums, finish
from tests.stack import LiveStack

EVENTS = 400
SMALL = BuildingConfig(chunk_events=15, batch_events=40, rows_kept=12)


def rebuild_all(url: str, *, die_after_s: float | None = None) -> tuple[Rebuilt, ...]:
    """In a process of its own, which a ``kill -9`` ends."""

    def began(progress: Progress) -> None:
        if die_after_s is not None and progress.stage == "folding" and not timer.is_alive():
            timer.start()

    timer = threading.Timer(die_after_s or 0, os.kill, (os.getpid(), signal.SIGKILL))
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
    """Kill until it has hit ``kills`` times; in which steps it hit."""
    dice, hits, steps = Random(seed), 0, set[str]()
    processes = get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    before = live_rows(url)
    while hits < kills:
        victim = processes.Process(
            target=rebuild_all,
            args=(url,),
            kwargs={"die_after_s": dice.uniform(0.0, longest_s)},
        )
        victim.start()
        victim.join(60)
        assert victim.exitcode in {0, -signal.SIGKILL}
        if victim.exitcode:
            hits += 1
            with psycopg.connect(url) as connection:
                steps |= {job.step for job in read_jobs(connection).values()}
        assert live_rows(url) == before, "queries see whole rows, always"
    return steps


def test_killed_at_twenty_random_points_it_ends_with_the_rows_of_the_live_ones(
    database_url: str,
) -> None:
    prepare(database_url)
    with psycopg.connect(database_url) as connection:
        insert(connection, played(7, EVENTS).stored())
    project_live(database_url)
    steps = killed_often(database_url, 20, seed=7, longest_s=0.8)
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
            began=lambda opened, _upto: started.extend(
                each.generation.position for each in opened
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
    for seed in range(10):
        killed_often(url, 10, seed, longest_s=2.0)
        durable_stack.kill_postgres()
        durable_stack.start_postgres()
    for rebuilt in rebuild_all(url):
        assert (rebuilt.compared, rebuilt.differing) == (True, ())
