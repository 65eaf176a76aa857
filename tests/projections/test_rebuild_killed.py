"""A rebuild that is killed anywhere goes on where it was, and ends with the same rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from multiprocessing import get_context
from pathlib import Path
from random import Random

import msgspec
import psycopg
import pytest

from api.keys import load_keys
from commands.event_log.batch import APPEND_LOCK
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from domain.ports import OutOfReach
from projections.catalogue import BUSINESS, READ_MODELS, TELEMETRY
from projections.comparing import Buckets
from projections.jobs import AT_WORK, read_jobs
from projections.migrate import prepare
from projections.pace import BuildingConfig
from projections.progress import Progress
from projections.rebuild import Log, rebuild
from projections.rebuilt import Hearing, Rebuilt
from projections.runner import Runner
from projections.status import read_statuses
from tests.audit.stories import insert, played
from tests.commands.accounting import SECRETS
from tests.projections.tables import checksums, finish
from tests.stack import LiveStack

EVENTS = 400
KILLS = 15
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
    for seed in range(10):
        killed_often(url, 10, seed, longest_s=2.0)
        durable_stack.kill_postgres()
        durable_stack.start_postgres()
    for rebuilt in rebuild_all(url):
        assert (rebuilt.compared, rebuilt.differing) == (True, ())


class Killing:
    """``owl projections rebuild`` in two workers under a log that grows, again and again."""

    def __init__(self, stack: LiveStack, folder: Path, seed: int) -> None:
        self.stack = stack
        self.url = stack.create_database()
        self.keys = load_keys(folder / "secrets", make=True)
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("OWL_")
        } | {"OWL_DATABASE_URL": self.url, "OWL_SECRETS_DIR": str(folder / "secrets")}
        self.dice = Random(seed)
        self.hits: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()
        self.said = folder / "said.txt"
        self.over = threading.Event()

    def follow(self) -> None:
        """What a worker does with the live rows, whatever becomes of the server."""
        secrets = Secrets(pepper=self.keys.pepper, sealing_key=self.keys.sealing)
        while not self.over.is_set():
            with (
                suppress(psycopg.OperationalError, OutOfReach),
                EventLog.open(self.url, secrets=secrets, require_durable=False) as log,
                closing(Runner(log.feed(), self.url, BUSINESS, projected=None)) as business,
                closing(
                    Runner(log.telemetry.feed(), self.url, TELEMETRY, projected=None)
                ) as telemetry,
            ):
                while not self.over.is_set():
                    if not business.step() + telemetry.step():
                        self.over.wait(0.01)

    def start(self) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "api.cli", "projections", "rebuild", "--all", "--json"]
        with self.said.open("w") as said:
            return subprocess.Popen(
                [*argv, "--workers", "2", "--max-load", "0.4"],
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )

    def strike(self) -> None:
        """Start it and let one of its parts be killed at any moment of its work."""
        rebuild = self.start()
        while rebuild.poll() is None and self.at_work() is None:
            time.sleep(0.02)  # the moment is the test
        time.sleep(self.dice.uniform(0.0, 1.5))
        victim = self.dice.choice(("coordinator", "worker", "worker", "postgres"))
        step = self.at_work()
        workers = workers_of(rebuild.pid)
        if rebuild.poll() is None and step and (victim != "worker" or workers):
            self.hits[victim] += 1
            self.steps[step] += 1
            match victim:
                case "coordinator":
                    rebuild.kill()
                case "worker":
                    with suppress(ProcessLookupError):
                        os.kill(self.dice.choice(workers), signal.SIGKILL)
                case _:
                    self.stack.kill_postgres()
                    self.stack.start_postgres()
        rebuild.communicate(timeout=120)  # ends with the last worker, which holds the pipe
        assert "Traceback" not in self.said.read_text(encoding="utf-8")

    def at_work(self) -> str | None:
        """The step of some rebuild that is at work."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.url) as connection:
            for job in read_jobs(connection).values():
                if job.step in AT_WORK and not job.interrupted:
                    return job.step
        return None


def workers_of(pid: int) -> list[int]:
    """The processes that fold for a rebuild's own."""
    found: list[int] = []
    for listing in Path("/proc").glob(f"{pid}/task/*/children"):  # of each of its threads
        with suppress(OSError):
            found += map(int, listing.read_text(encoding="ascii").split())
    return [each for each in found if b"spawn_main" in _command_line(each)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_fifteen_kills_of_coordinator_workers_and_database_change_no_row(
    durable_stack: LiveStack, tmp_path: Path
) -> None:
    killing = Killing(durable_stack, tmp_path, seed=9)
    prepare(killing.url)
    with psycopg.connect(killing.url) as connection:
        insert(connection, played(9, 12_000).stored())
    live = threading.Thread(target=killing.follow, daemon=True)
    live.start()
    while killing.hits.total() < KILLS:
        killing.strike()
        print(dict(killing.hits), dict(killing.steps), flush=True)  # noqa: T201 - minutes go by
    for _ in range(2):  # what the kills have left, and once more without any
        rebuild = killing.start()
        told, _ = rebuild.communicate(timeout=300)
        assert rebuild.returncode == 0, killing.said.read_text(encoding="utf-8")
        done = msgspec.json.decode(told, type=list[Rebuilt])
        assert {each.read_model for each in done} == {model.name for model in READ_MODELS}
        assert all(each.compared and not each.differing for each in done)
    killing.over.set()
    live.join(60)
    assert len(killing.hits) == 3, "each was killed"
