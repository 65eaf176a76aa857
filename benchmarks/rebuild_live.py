"""Rebuilding every read model while others write: what it costs them, and that nothing is lost.

A long history, then 2,000 events a second that come by a clock and not when the one before is
done: whole lives of tasks through our writer, each commit durable, in a process of their own;
the live projection follows in another, as in a platform that works. Meanwhile this process
rebuilds all business read models beside them, compares them with the live rows at one position,
and switches. What is stated is a writer's median wait for its commit while that goes on, over
that before it; what is known so far is told meanwhile, by the rebuild's stages.
``--events 10000000`` is the size that is promised; ``--load`` below 1 is the share of the time
in which the rebuild works, which otherwise finds out by itself that others write.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any, Final

import psycopg
from msgspec import Struct, field

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
from projections.pace import BESIDE_WRITERS, BuildingConfig
from projections.progress import Progress
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
TELL_EVERY_S: Final = 20.0
STEPS: Final = 200
RATIO = Ratio(
    row=14,
    name="a writer's p50 during a rebuild of everything over that without one",
    ours="ours: a command until it is durable, while rebuilding, p50 ms",
    other="limit: the same without a rebuild, p50 ms",
    target=1.2,
    moonshot=1.05,
    less_is_better=True,
)


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
        seconds = self._rebuild(BuildingConfig(beside_writers=1.0), _not_told)
        _say(f"the first read models in {seconds:.0f} s")
        spawn = multiprocessing.get_context("spawn")
        following = spawn.Process(target=follow, args=(url, secrets), daemon=True)
        following.start()
        open_.callback(following.terminate)
        self._writes = Writes(url, secrets)
        open_.callback(self._writes.close)
        time.sleep(WARMING_S)
        self._during: Waits | None = None
        self._rate = self._alone_ms = 0.0

    def alone_p50_ms(self, seconds: float) -> float:
        """Without a rebuild."""
        self._writes.waited()
        time.sleep(seconds)
        found = self._writes.waited()
        _say(f"without: {found}")
        self._alone_ms = found.ms(0.5)
        return self._alone_ms

    def beside_p50_ms(self) -> float:
        """While everything is rebuilt, compared and switched."""
        head = self._log.feed().head()
        self._writes.waited()
        stages: defaultdict[str, Waits] = defaultdict(Waits)
        found, before, told_at = Waits(), "folding", time.monotonic()

        def heard(at: Progress) -> None:
            nonlocal before, told_at
            told = time.monotonic() - told_at > TELL_EVERY_S
            if told or at.stage != before:
                waits = self._writes.waited()
                stages[before].add(waits)
                found.add(waits)
                before = at.stage
            if told:
                told_at = time.monotonic()
                times = found.ms(0.5) / self._alone_ms
                where = f"{at.stage} {at.position:,}, {at.events_per_s:,.0f} events/s"
                _say(f"rebuilding, {where}; writers: {found}, {times:.2f} of that without")

        load = self._load
        beside = load if load < 1.0 else BESIDE_WRITERS
        config = BuildingConfig(max_load=load, beside_writers=beside)
        seconds = self._rebuild(config, heard, compared=True)
        found.add(self._writes.waited())
        for stage, waits in stages.items():
            _say(f"while {stage}: {waits}")
        _say(f"rebuilt in {seconds:.0f} s: {found}")
        self._during, self._rate = found, head / seconds
        return found.ms(0.5)

    def beside(self) -> tuple[Waits, float]:
        """What else came out of the last rebuild, and its events/s."""
        assert self._during is not None, "nothing was rebuilt yet"
        return self._during, self._rate

    def _rebuild(
        self,
        config: BuildingConfig,
        progress: Callable[[Progress], None],
        *,
        compared: bool = False,
    ) -> float:
        log = Log(feed=self._log.feed(), history=self._log.history(), append_lock=APPEND_LOCK)
        began = time.perf_counter()
        done = rebuild(self._url, log, BUSINESS, progress=progress, config=config)
        assert all(each.switched for each in done)
        if compared:
            assert all(each.compared and not each.differing for each in done)
        return time.perf_counter() - began


def _not_told(_progress: Progress) -> None:
    """Nobody waits for it."""


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def main() -> None:
    """Run."""
    chosen = options(__doc__ or "", rounds=3, seconds=10.0, events=EVENTS, load=1.0)
    with ExitStack() as open_:
        stack = open_.enter_context(live_stack(profile="durable", with_nats=False))
        platform = Platform(stack.create_database(), chosen.events, chosen.load, open_)
        contestants: dict[str, Callable[[], float]] = {
            RATIO.other: lambda: platform.alone_p50_ms(chosen.seconds),
            RATIO.ours: platform.beside_p50_ms,
            "ours: the same, p99 ms": lambda: platform.beside()[0].ms(0.99),
            "ours: written while rebuilding, events/s": lambda: (
                platform.beside()[0].events_per_s
            ),
            "ours: rebuilt and compared meanwhile, events/s": lambda: platform.beside()[1],
        }
        tell(measure(contestants, (RATIO,), chosen), chosen)


if __name__ == "__main__":
    main()
