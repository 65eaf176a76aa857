"""Rows 8 and 9: from submit to the agent beginning the task, and no-op tasks completed.

Peers: Procrastinate and PgQueuer, a no-op job, one worker process, 32 jobs at once, uvloop,
woken by LISTEN/NOTIFY as shipped, PgQueuer dequeuing 32 at a time. Ours: one process with
writer and loops, one agent process that runs the no-op itself, 32 tasks at once; a task is six
events in four commands (submitted with its hold, assigned, begun, completed with its
settlement) and counts as done when all are durable; a peer's job counts when its handler ran.
All on one PostgreSQL with fsync and synchronous_commit on. NATS syncs its files every two
minutes: what it loses is offered again from the log.
Latency: single submits, 30 ms apart. Throughput: 32 submitters, all tasks from first submit to
last completion.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import UUID, uuid4

import asyncpg
import nats
import procrastinate
import structlog
import uvloop
from pgqueuer import Queries
from pgqueuer.db import AsyncpgDriver

from benchmarks.append import fresh_id
from benchmarks.dispatch_workers import CONCURRENCY, Stamps
from benchmarks.measure import Options, Ratio, measure, options, tell
from commands.artifact_store import open_store
from commands.board_reader import BoardReader
from commands.configuration import ChangeConfiguration, change_configuration
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.fleet import EnrolServer, RegisterServer, enrol_server, register_server
from commands.signals import LocalSignal
from commands.tasks import SubmitTask, submit_task
from commands.worker import Worker, build_loops
from commands.writer import Writer
from domain.envelope import Actor, Context
from domain.tasks.submission import TaskOrder
from tests.stack import LiveStack, live_stack

SUBMITTERS = 32
PAUSE_S = 0.03
TASKS_PER_S = 250  # of the throughput figure's time: enough for the fastest to show itself
ANSWER_S = 120
T = TypeVar("T")


class Background:
    """An event loop that runs between the rounds too, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_S)

    def close(self) -> None:
        """End the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class System(Protocol):
    """A contestant: takes jobs by number and waits until they are done."""

    async def open(self) -> list[str]:
        """Get ready; the arguments of the worker process."""
        ...

    async def submit(self, number: int) -> None:
        """Hand in job ``number``."""
        ...

    async def done(self, first: int, last: int) -> None:
        """Return when these jobs are done."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


class Procrastinate:
    """The main peer."""

    def __init__(self, url: str, stamps: Stamps) -> None:
        self._url, self._stamps = url, stamps
        self._app = procrastinate.App(
            connector=procrastinate.PsycopgConnector(conninfo=url, min_size=4, max_size=32)
        )
        self._task = self._app.task(name="noop")(_never_here)

    async def open(self) -> list[str]:
        await self._app.open_async()
        await self._app.schema_manager.apply_schema_async()
        return ["procrastinate", self._url]

    async def submit(self, number: int) -> None:
        await self._task.defer_async(number=number)

    async def done(self, first: int, last: int) -> None:
        await until_begun(self._stamps, first, last)

    async def close(self) -> None:
        await self._app.close_async()


async def _never_here(number: int) -> None:
    raise AssertionError(f"job {number} should run in the worker process")


class PgQueue:
    """The fastest peer on PostgreSQL."""

    def __init__(self, url: str, stamps: Stamps) -> None:
        self._url, self._stamps = url, stamps

    async def open(self) -> list[str]:
        self._pool = await asyncpg.create_pool(self._url, min_size=4, max_size=32)
        connection = await asyncpg.connect(self._url)
        await Queries(AsyncpgDriver(connection)).install()
        await connection.close()
        self._queries = Queries.from_asyncpg_pool(self._pool)
        return ["pgqueuer", self._url]

    async def submit(self, number: int) -> None:
        await self._queries.enqueue("noop", str(number).encode())

    async def done(self, first: int, last: int) -> None:
        await until_begun(self._stamps, first, last)

    async def close(self) -> None:
        await self._pool.close()


class Ours:
    """Writer and loops in this process, an agent in another."""

    def __init__(self, url: str, nats_url: str, directory: Path) -> None:
        self._url, self._nats_url, self._directory = url, nats_url, directory
        self._stack = AsyncExitStack()

    async def open(self) -> list[str]:
        secrets = Secrets(pepper=b"p" * 32, sealing_key=b"s" * 32)
        log = self._stack.enter_context(
            EventLog.open(self._url, secrets=secrets, require_durable=True)
        )
        committed = LocalSignal()
        self._writer = await self._stack.enter_async_context(
            Writer(log, now, committed=committed)
        )
        client = await nats.connect(self._nats_url)
        self._stack.push_async_callback(client.close)
        worker = Worker(
            log=log,
            writer=self._writer,
            client=client,
            artifacts=open_store((self._directory / "artifacts").as_uri()),
            committed=committed,
            appended=LocalSignal(),
            clock=now,
            ids=fresh_id,
            holder="bench",
            issuer_seed=b"SAAGNFZXGQ5N4XY4NBKGSQZZSTDSAOOKXPBQZZQ2N5VYZTXPPPAKWDG7XE",
        )
        teams = build_loops(worker)
        loops = [asyncio.create_task(team.run()) for team in teams]
        self._stack.push_async_callback(_end, loops)
        reader = teams[0].loops[0]
        assert isinstance(reader, BoardReader)
        self._board = reader.board
        server_id = await self._enrol()
        return ["ours", self._nats_url, str(server_id)]

    async def submit(self, number: int) -> None:
        order = TaskOrder(title="bench", task_type="test", config={"number": number})
        command = SubmitTask(
            task_id=fresh_id(), user_id=uuid4(), order=order, is_admin=False, at=now()
        )
        await self._run(submit_task, command)

    async def done(self, first: int, last: int) -> None:
        await until(lambda: not self._board.tasks)

    async def close(self) -> None:
        await self._stack.aclose()

    async def _enrol(self) -> UUID:
        server_id = fresh_id()
        register = RegisterServer(
            server_id=server_id,
            name="bench",
            max_concurrent_tasks=CONCURRENCY,
            token_digest="digest",
            token_expires_at=now() + timedelta(hours=1),
        )
        await self._run(register_server, register)
        enrol = EnrolServer(
            server_id=server_id, token_digest="digest", public_key="U", host="bench", at=now()
        )
        await self._run(enrol_server, enrol)
        changes = {"max_concurrent_tasks_per_user": 1_000}
        await self._run(change_configuration, ChangeConfiguration(changes=changes))
        return server_id

    async def _run(self, handler: Callable[[Any, Any], Any], command: Any) -> None:
        context = Context(
            command_id=fresh_id(), actor=Actor("user", "bench"), correlation_id="bench-request"
        )
        await self._writer.run(handler, command, context)


class Contestant:
    """A system, its worker process, and the numbers of its jobs."""

    def __init__(self, background: Background, system: System, path: Path) -> None:
        self._background, self._system = background, system
        self._stamps = Stamps(path)
        self._next = 0
        arguments = background.run(system.open())
        command = [sys.executable, "-m", "benchmarks.dispatch_workers"]
        arguments.insert(2, str(path))
        self._worker = subprocess.Popen([*command, *arguments])
        self.latency_p50_ms(1.0)  # whoever warms up does it before the first round

    def latency_p50_ms(self, seconds: float) -> float:
        """From the call of submit to the job's beginning, nothing else to do."""
        return self._background.run(self._latency(seconds))

    def per_s(self, seconds: float) -> float:
        """Jobs done."""
        return self._background.run(self._throughput(round(TASKS_PER_S * seconds)))

    def close(self) -> None:
        """End the worker, then the system."""
        self._worker.terminate()
        self._worker.wait()
        self._background.run(self._system.close())

    async def _latency(self, seconds: float) -> float:
        first, asked = self._next, []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            asked.append(time.monotonic())
            await self._system.submit(self._next)
            self._next += 1
            await asyncio.sleep(PAUSE_S)
        await self._system.done(first, self._next)
        took = [self._stamps.began(first + n) - at for n, at in enumerate(asked)]
        return statistics.median(took) * 1_000

    async def _throughput(self, count: int) -> float:
        first = self._next
        self._next += count
        numbers = iter(range(first, self._next))
        began = time.monotonic()

        async def submit() -> None:
            for number in numbers:
                await self._system.submit(number)

        await asyncio.gather(*(submit() for _ in range(SUBMITTERS)))
        await self._system.done(first, self._next)
        return count / (time.monotonic() - began)


def now() -> datetime:
    """The platform's clock."""
    return datetime.now(UTC)


async def until(condition: Callable[[], bool]) -> None:
    """Return within a few milliseconds of its holding."""
    while not condition():  # noqa: ASYNC110 - another process makes it hold
        await asyncio.sleep(0.005)


async def until_begun(stamps: Stamps, first: int, last: int) -> None:
    """Return when each of these jobs has begun."""
    for number in range(last - 1, first - 1, -1):
        await until(lambda number=number: stamps.began(number) > 0)  # type: ignore[misc]


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def ratios() -> list[Ratio]:
    """What is promised."""
    begin, rate = "p50 ms from submit to begin: {}", "no-op tasks/s: {}"
    return [
        Ratio(
            row=8,
            name="submit to begin over Procrastinate (moonshot: over PgQueuer)",
            ours=begin.format("ours"),
            other=begin.format("Procrastinate"),
            target=1.0,
            moonshot=1.0,
            less_is_better=True,
        ),
        Ratio(
            row=8,
            name="submit to begin over PgQueuer",
            ours=begin.format("ours"),
            other=begin.format("PgQueuer"),
            target=1.0,
            moonshot=1.0,
            less_is_better=True,
        ),
        Ratio(
            row=9,
            name="tasks/s over Procrastinate",
            ours=rate.format("ours"),
            other=rate.format("Procrastinate"),
            target=3,
            moonshot=15,
        ),
        Ratio(
            row=9,
            name="tasks/s over PgQueuer",
            ours=rate.format("ours"),
            other=rate.format("PgQueuer"),
            target=1,
            moonshot=4,
        ),
    ]


def run(stack: LiveStack, chosen: Options, directory: Path) -> None:
    """Build the contestants, race them, say how it went."""
    background = Background()
    systems: dict[str, Callable[[Stamps], System]] = {
        "Procrastinate": lambda stamps: Procrastinate(stack.create_database(), stamps),
        "PgQueuer": lambda stamps: PgQueue(stack.create_database(), stamps),
        "ours": lambda _: Ours(stack.create_database(), stack.nats_url, directory),
    }
    contestants: dict[str, Contestant] = {}
    try:
        for name, make in systems.items():
            path = directory / name
            contestants[name] = Contestant(background, make(Stamps(path)), path)
        figures: dict[str, Callable[[], float]] = {}
        for name, contestant in contestants.items():
            figures[f"p50 ms from submit to begin: {name}"] = _of(
                contestant.latency_p50_ms, chosen.seconds
            )
        for name, contestant in contestants.items():
            figures[f"no-op tasks/s: {name}"] = _of(contestant.per_s, chosen.seconds)
        tell(measure(figures, ratios(), chosen), chosen)
    finally:
        for contestant in contestants.values():
            contestant.close()
        background.close()


def _of(figure: Callable[[float], float], seconds: float) -> Callable[[], float]:
    return lambda: figure(seconds)


def main() -> None:
    """Measure and tell."""
    chosen = options(__doc__ or "", seconds=4.0)
    quiet = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=quiet)
    logging.getLogger("procrastinate").setLevel(logging.ERROR)
    with (
        tempfile.TemporaryDirectory() as directory,
        live_stack(profile="durable") as stack,
    ):
        run(stack, chosen, Path(directory))


if __name__ == "__main__":
    main()
