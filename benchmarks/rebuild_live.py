"""Rebuilding every read model while others write: what it costs them, and that nothing is lost.

A long history, then 2,000 events a second that come by a clock and not when the one before is
done: whole lives of tasks through our writer, each commit durable, in a process of their own;
the live projection follows in another, as in a platform that works. Meanwhile this process
rebuilds all business read models beside them, compares them with the live rows at one position,
and switches. What is stated is a writer's median wait for its commit while that goes on, over
that before it. ``--events 10000000`` is the size that is promised; ``--load`` is the share of
the time in which the rebuild works: half, as the platform does by itself, unless told.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any, Final

import psycopg
from msgspec import Struct

from benchmarks.long_history import write_long_history
from benchmarks.measure import Ratio, measure, options, tell
from benchmarks.projection import Farm, context, now
from benchmarks.rebuild import OTHER_FOLDS
from commands.event_log.batch import APPEND_LOCK
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.signals import LocalSignal
from commands.writer import Writer
from projections.catalogue import BUSINESS
from projections.migrate import prepare
from projections.pace import BuildingConfig
from projections.rebuild import Log, rebuild
from projections.runner import Runner
from tests.stack import live_stack

EVENTS: Final = 100_000
EVENTS_PER_S: Final = 2_000
EVENTS_OF_A_TASK: Final = 7
COMMANDS_OF_A_TASK: Final = 5
LIVING_MAX: Final = 1_000
"""Tasks under way at once: a platform that cannot keep up is not buried for ever."""
LOOK_EVERY_S: Final = 0.002
WARMING_S: Final = 3.0
RATIO = Ratio(
    row=14,
    name="a writer's p50 during a rebuild of everything over that without one",
    ours="ours: a command until it is durable, while rebuilding, p50 ms",
    other="limit: the same without a rebuild, p50 ms",
    target=1.2,
    moonshot=1.05,
    less_is_better=True,
)


class Waited(Struct, frozen=True, kw_only=True):
    """How long writers waited since they were last asked."""

    p50_ms: float
    p99_ms: float
    events_per_s: float


class Writes:
    """Lives of tasks at a fixed rate, by a process of their own."""

    def __init__(self, url: str, secrets: Secrets) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._asked, there = spawn.Pipe()
        self._process = spawn.Process(target=write, args=(url, secrets, there), daemon=True)
        self._process.start()
        there.close()
        self._asked.recv()

    def waited(self) -> Waited:
        """Since the last time."""
        self._asked.send(None)
        found: Waited = self._asked.recv()
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
        took: list[float] = []
        since = began = time.perf_counter()
        started = 0
        living: set[asyncio.Task[None]] = set()
        async with Writer(self._log, now) as writer:

            async def run(handler: Callable[[Any, Any], Any], command: Struct) -> None:
                before = time.perf_counter()
                await writer.run(handler, command, context())
                took.append(time.perf_counter() - before)

            while True:
                if asked.poll():
                    try:
                        asked.recv()
                    except EOFError:
                        break
                    asked.send(_waited(took, time.perf_counter() - since))
                    since = time.perf_counter()
                    took.clear()
                due = (time.perf_counter() - began) * EVENTS_PER_S / EVENTS_OF_A_TASK
                while started < due and len(living) < LIVING_MAX:
                    user = self._users[started % len(self._users)]
                    task = asyncio.create_task(self._life(run, user))
                    living.add(task)
                    task.add_done_callback(living.discard)
                    started += 1
                await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.gather(*living)


def _waited(took: list[float], seconds: float) -> Waited:
    if len(took) < 2:  # asked for the second time at once, to begin anew
        return Waited(p50_ms=0.0, p99_ms=0.0, events_per_s=0.0)
    of_100 = statistics.quantiles(took, n=100)
    return Waited(
        p50_ms=of_100[49] * 1_000,
        p99_ms=of_100[98] * 1_000,
        events_per_s=len(took) / COMMANDS_OF_A_TASK * EVENTS_OF_A_TASK / seconds,
    )


def follow(url: str, secrets: Secrets) -> None:
    """In a process of its own, until it is terminated."""
    with EventLog.open(url, secrets=secrets, require_durable=True) as log:
        runner = Runner(log.feed(), url, BUSINESS, projected=None)
        asyncio.run(runner.run(LocalSignal()))


class Platform:
    """A long history, and a farm that goes on."""

    def __init__(self, url: str, events: int, load: float, open_: ExitStack) -> None:
        prepare(url)
        self._url = url
        self._load = load
        began = time.perf_counter()
        self._head = write_long_history(url, events)
        _say(f"{self._head:,} events of history in {time.perf_counter() - began:.0f} s")
        secrets = Secrets(pepper=os.urandom(32), sealing_key=os.urandom(32))
        self._log = EventLog.open(url, secrets=secrets, require_durable=True)
        open_.callback(self._log.close)
        with psycopg.connect(url) as connection:
            connection.execute(OTHER_FOLDS)
        seconds = self._rebuild(compared=False, max_load=1.0)
        _say(f"the first read models in {seconds:.0f} s")
        spawn = multiprocessing.get_context("spawn")
        following = spawn.Process(target=follow, args=(url, secrets), daemon=True)
        following.start()
        open_.callback(following.terminate)
        self._writes = Writes(url, secrets)
        open_.callback(self._writes.close)
        time.sleep(WARMING_S)
        self._during: Waited | None = None
        self._rate = 0.0

    def alone_p50_ms(self, seconds: float) -> float:
        """Without a rebuild."""
        self._writes.waited()
        time.sleep(seconds)
        found = self._writes.waited()
        _say(f"without: {found}")
        return found.p50_ms

    def beside_p50_ms(self) -> float:
        """While everything is rebuilt, compared and switched."""
        head = self._log.feed().head()
        self._writes.waited()
        seconds = self._rebuild(compared=True, max_load=self._load)
        self._during = found = self._writes.waited()
        self._rate = head / seconds
        _say(f"rebuilding, {seconds:.0f} s: {found}")
        return found.p50_ms

    def beside(self) -> tuple[Waited, float]:
        """What else came out of the last rebuild, and its events/s."""
        assert self._during is not None, "nothing was rebuilt yet"
        return self._during, self._rate

    def _rebuild(self, *, compared: bool, max_load: float) -> float:
        log = Log(feed=self._log.feed(), history=self._log.history(), append_lock=APPEND_LOCK)
        began = time.perf_counter()
        config = BuildingConfig(max_load=max_load)
        done = rebuild(self._url, log, BUSINESS, progress=lambda _: None, config=config)
        assert all(each.switched for each in done)
        if compared:
            assert all(each.compared and not each.differing for each in done)
        return time.perf_counter() - began


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def main() -> None:
    """Run."""
    chosen = options(__doc__ or "", rounds=3, seconds=10.0, events=EVENTS, load=0.5)
    with ExitStack() as open_:
        stack = open_.enter_context(live_stack(profile="durable", with_nats=False))
        platform = Platform(stack.create_database(), chosen.events, chosen.load, open_)
        contestants: dict[str, Callable[[], float]] = {
            RATIO.other: lambda: platform.alone_p50_ms(chosen.seconds),
            RATIO.ours: platform.beside_p50_ms,
            "ours: the same, p99 ms": lambda: platform.beside()[0].p99_ms,
            "ours: written while rebuilding, events/s": lambda: (
                platform.beside()[0].events_per_s
            ),
            "ours: rebuilt and compared meanwhile, events/s": lambda: platform.beside()[1],
        }
        tell(measure(contestants, (RATIO,), chosen), chosen)


if __name__ == "__main__":
    main()
