"""Rebuilding every read model while others write: what it costs them, and that nothing is lost.

A long history, then 2,000 events a second that come by a clock and not when the one before is
done: whole lives of tasks through our writer, each commit durable, in a process of their own;
the live projection follows in another, as in a platform that works. Meanwhile this process
rebuilds all business read models beside them, compares them with the live rows at one position,
and switches. What is stated is a writer's median wait for its commit while that goes on, over
that without it; what is known so far is told meanwhile, stretch by stretch.

A farm with a long history did not get it a minute ago: before anything is measured, what the
history and the first read models leave to be done is done (``VACUUM (ANALYZE)``, a checkpoint).
And a machine drifts: the wait without a rebuild is measured before, after and, by holding it
for ``--seconds`` after every five times that, all along. What is under way when it is held
belongs to neither.

``--events 10000000`` is the size that is promised; ``--load`` below 1 is the share of the time
in which the rebuild works, which otherwise finds out by itself that others write.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import psycopg

from benchmarks.long_history import write_long_history
from benchmarks.measure import Options, Ratio, measure, options, tell
from benchmarks.paced_writers import Waits, Writes
from benchmarks.rebuild import OTHER_FOLDS
from commands.event_log.batch import APPEND_LOCK
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.signals import LocalSignal
from projections.catalogue import BUSINESS
from projections.migrate import prepare
from projections.pace import BESIDE_WRITERS, BuildingConfig
from projections.progress import Progress
from projections.rebuild import Log, rebuild
from projections.runner import Runner
from tests.stack import LiveStack, live_stack

EVENTS: Final = 100_000
WARMING_S: Final = 5.0
LETTING_END_S: Final = 3.0
"""A chunk that is being written when the rebuild is held, at the share it has."""
BESIDE_FOR: Final = 5
"""Of these lengths the rebuild is beside the writers for each that it is held."""
RATIO = Ratio(
    row=14,
    name="a writer's p50 during a rebuild of everything over that without one",
    ours="ours: a command until it is durable, while rebuilding, p50 ms",
    other="limit: the same without a rebuild, p50 ms",
    target=1.2,
    moonshot=1.05,
    less_is_better=True,
)


def follow(url: str, secrets: Secrets) -> None:
    """In a process of its own, until it is terminated."""
    with EventLog.open(url, secrets=secrets, require_durable=True) as log:
        runner = Runner(log.feed(), url, BUSINESS, projected=None)
        asyncio.run(runner.run(LocalSignal()))


class Platform:
    """A long history, and a farm that goes on."""

    def __init__(self, stack: LiveStack, chosen: Options, open_: ExitStack) -> None:
        self._url = url = stack.create_database()
        self._chosen = chosen
        prepare(url)
        began = time.perf_counter()
        self._head = write_long_history(url, chosen.events)
        _say(f"{self._head:,} events of history in {time.perf_counter() - began:.0f} s")
        secrets = Secrets(pepper=os.urandom(32), sealing_key=os.urandom(32))
        self._log = EventLog.open(url, secrets=secrets, require_durable=True)
        open_.callback(self._log.close)
        with psycopg.connect(url) as connection:
            connection.execute(OTHER_FOLDS)
        seconds = self._rebuild(BuildingConfig(beside_writers=1.0), _not_told)
        _say(f"the first read models in {seconds:.0f} s")
        began = time.perf_counter()
        _settle(url, stack.stack.superuser_url())
        _say(f"settled in {time.perf_counter() - began:.0f} s")
        spawn = multiprocessing.get_context("spawn")
        following = spawn.Process(target=follow, args=(url, secrets), daemon=True)
        following.start()
        open_.callback(following.terminate)
        self._writes = Writes(url, secrets)
        open_.callback(self._writes.close)
        time.sleep(WARMING_S)
        self._beside = self._without = Waits()
        self._rate = 0.0

    def beside_p50_ms(self) -> float:
        """While everything is rebuilt, compared and switched; and before, between and after."""
        self._beside, self._without = Waits(), Waits()
        head = self._log.feed().head()
        self._alone()
        stages: defaultdict[str, Waits] = defaultdict(Waits)
        stage, since, held_s = "folding", time.monotonic(), 0.0

        def heard(at: Progress) -> None:
            nonlocal stage, since, held_s
            full = time.monotonic() - since >= BESIDE_FOR * self._chosen.seconds
            if at.stage == stage and not full:
                return
            waits = self._writes.waited()
            stages[stage].add(waits)
            self._beside.add(waits)
            times = waits.ms(0.5) / self._without.ms(0.5)
            where = f"{stage} to {at.position:,}"
            _say(f"{where}: {waits}; {times:.2f} of that without, so far {self.so_far:.2f}")
            began = time.monotonic()
            if at.stage == stage == "folding":
                time.sleep(LETTING_END_S)
                self._alone()
            stage, since = at.stage, time.monotonic()
            held_s += since - began

        load = self._chosen.load
        beside = load if load < 1.0 else BESIDE_WRITERS
        config = BuildingConfig(max_load=load, beside_writers=beside)
        seconds = self._rebuild(config, heard, compared=True) - held_s
        self._beside.add(self._writes.waited())
        self._alone()
        for name, waits in stages.items():
            _say(f"while {name}: {waits}; {waits.ms(0.5) / self._without.ms(0.5):.2f}")
        _say(f"rebuilt in {seconds:.0f} s: {self._beside}; {self.so_far:.2f} of that without")
        self._rate = head / seconds
        return self._beside.ms(0.5)

    def without(self) -> Waits:
        """Before, between and after the stretches of the last rebuild."""
        return self._without

    def beside(self) -> tuple[Waits, float]:
        """What else came out of the last rebuild, and its events/s."""
        return self._beside, self._rate

    @property
    def so_far(self) -> float:
        """The ratio, as far as it is known."""
        return self._beside.ms(0.5) / self._without.ms(0.5)

    def _alone(self) -> None:
        self._writes.waited()
        time.sleep(self._chosen.seconds)
        found = self._writes.waited()
        self._without.add(found)
        _say(f"without: {found}")
        self._writes.waited()

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


def _settle(url: str, superuser_url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def _not_told(_progress: Progress) -> None:
    """Nobody waits for it."""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Run."""
    chosen = options(__doc__ or "", rounds=3, seconds=10.0, events=EVENTS, load=1.0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended before its time"))
    with ExitStack() as open_:
        stack = open_.enter_context(live_stack(profile="durable", with_nats=False))
        platform = Platform(stack, chosen, open_)
        contestants: dict[str, Callable[[], float]] = {
            RATIO.ours: platform.beside_p50_ms,
            RATIO.other: lambda: platform.without().ms(0.5),
            "ours: the same, p99 ms": lambda: platform.beside()[0].ms(0.99),
            "limit: the same, p99 ms": lambda: platform.without().ms(0.99),
            "ours: written while rebuilding, events/s": lambda: (
                platform.beside()[0].events_per_s
            ),
            "ours: rebuilt and compared meanwhile, events/s": lambda: platform.beside()[1],
        }
        tell(measure(contestants, (RATIO,), chosen), chosen)


if __name__ == "__main__":
    main()
