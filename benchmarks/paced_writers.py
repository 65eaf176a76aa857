"""Writers that come by a clock and not when the one before is done, in a process of their own.

Whole lives of tasks through our writer, each commit durable; how long each waited for its
commit is asked for by whoever measures.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final

from msgspec import Struct, field

from benchmarks.projection import Farm, context, now
from commands.event_log.secrets import Secrets
from commands.writer import Writer

EVENTS_PER_S: Final = 2_000
EVENTS_OF_A_TASK: Final = 7
COMMANDS_OF_A_TASK: Final = 5
LIVING_MAX: Final = 1_000
"""Tasks under way at once: a platform that cannot keep up is not buried for ever."""
LOOK_EVERY_S: Final = 0.002
STEPS: Final = 200


class Waits(Struct):
    """How long writers waited: how often each length, to one in two hundred."""

    seconds: float = 0.0
    counts: Counter[int] = field(default_factory=Counter)

    def note(self, took_s: float) -> None:
        """One of them."""
        self.counts[round(math.log(took_s) * STEPS)] += 1

    def add(self, more: Waits) -> None:
        """Those too."""
        self.seconds += more.seconds
        self.counts += more.counts

    def ms(self, share: float) -> float:
        """What so many did not wait longer than."""
        left = share * self.counts.total()
        for length, often in sorted(self.counts.items()):
            left -= often
            if left <= 0:
                return math.exp(length / STEPS) * 1_000
        return 0.0

    @property
    def events_per_s(self) -> float:
        """That were written meanwhile."""
        return self.counts.total() / COMMANDS_OF_A_TASK * EVENTS_OF_A_TASK / self.seconds

    def __str__(self) -> str:
        return (
            f"{self.seconds:.0f} s, p50 {self.ms(0.5):.2f} ms, p99 {self.ms(0.99):.1f} ms,"
            f" {self.events_per_s:,.0f} events/s"
        )


class Writes:
    """Lives of tasks at a fixed rate, by a process of their own."""

    def __init__(self, url: str, secrets: Secrets) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._asked, there = spawn.Pipe()
        self._process = spawn.Process(target=write, args=(url, secrets, there), daemon=True)
        self._process.start()
        there.close()
        self._asked.recv()

    def waited(self) -> Waits:
        """Since the last time."""
        self._asked.send(None)
        found: Waits = self._asked.recv()
        return found

    def close(self) -> None:
        """End it."""
        self._asked.close()
        self._process.join(10)


def write(url: str, secrets: Secrets, asked: Connection) -> None:
    """In a process of its own, until nobody asks any more."""
    farm = PacedFarm(url, secrets)
    asked.send(None)
    asyncio.run(farm.go_on(asked))
    farm.close()


class PacedFarm(Farm):
    """Tasks come by a clock, so that a slow commit is waited for by those that come after."""

    async def go_on(self, asked: Connection) -> None:
        """Until nobody asks any more; say how long writers waited whenever somebody does."""
        waits = Waits()
        since = began = time.perf_counter()
        started = 0
        living: set[asyncio.Task[None]] = set()
        async with Writer(self._log, now) as writer:

            async def run(handler: Callable[[Any, Any], Any], command: Struct) -> None:
                before = time.perf_counter()
                await writer.run(handler, command, context())
                waits.note(time.perf_counter() - before)

            while True:
                if asked.poll():
                    try:
                        asked.recv()
                    except EOFError:
                        break
                    waits.seconds = time.perf_counter() - since
                    asked.send(waits)
                    since, waits = time.perf_counter(), Waits()
                due = (time.perf_counter() - began) * EVENTS_PER_S / EVENTS_OF_A_TASK
                while started < due and len(living) < LIVING_MAX:
                    user = self._users[started % len(self._users)]
                    task = asyncio.create_task(self._life(run, user))
                    living.add(task)
                    task.add_done_callback(living.discard)
                    started += 1
                await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.gather(*living)
