"""A rebuild in two processes, any of which is killed, and the database: no row is another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import msgspec
import psycopg
import pytest

from api.keys import load_keys
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from domain.ports import OutOfReach
from projections.catalogue import BUSINESS, READ_MODELS, TELEMETRY
from projections.migrate import prepare
from projections.rebuilt import Rebuilt
from projections.runner import Runner
from tests.audit.stories import insert, played
from tests.projections.test_rebuild_killed import at_work
from tests.stack import LiveStack

KILLS = 15


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
        while rebuild.poll() is None and at_work(self.url) is None:
            time.sleep(0.02)  # the moment is the test
        time.sleep(self.dice.uniform(0.0, 1.5))
        victim = self.dice.choice(("coordinator", "worker", "worker", "postgres"))
        step = at_work(self.url)
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
