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
import gc
import logging
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import structlog
import uvloop

from api.programs.long_running import MIDDLE, OLD, YOUNG
from benchmarks.dispatch_systems import Ours, PgQueue, Procrastinate, System
from benchmarks.dispatch_workers import Stamps
from benchmarks.measure import Options, Ratio, measure, options, tell
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


def ratios() -> list[Ratio]:
    """What is promised."""
    begin, rate = "p50 ms from submit to begin: {}", "no-op tasks/s: {}"
    return [
        Ratio(
            row=8,
            name="submit to begin over Procrastinate",
            ours=begin.format("ours"),
            other=begin.format("Procrastinate"),
            target=1.0,
            moonshot=1.0,
            less_is_better=True,
        ),
        Ratio(
            row=8,
            name="submit to begin over PgQueuer (the moonshot)",
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
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)  # as the programs do, for the peers' submitters too
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
