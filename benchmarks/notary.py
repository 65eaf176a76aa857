"""What the notary costs the write path: with it at work, against without it.

It runs in a process of its own, as in ``owl work``, and has signed all that there is before a
figure begins. Two loads. Saturated: 128 submitters, each with its next command as soon as the
last is answered; so many events are appended. Paced: lives of tasks begin by the clock, at half
of what the saturated writer appends; so long a command takes. Both ways of a round are measured
one after the other, in turn first and second, since a log that has grown is a little slower.
What is behind is signed when the machine has time to spare, or after 30 s: what that costs a
writer who needs the whole machine for longer is measured by ``notary_behind``.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID

import psutil
import psycopg
from msgspec import Struct

from benchmarks.measure import Ratio, measure, options, tell
from benchmarks.projection import WorkingFarm
from commands.last_signed import LastSigned
from commands.notary import Config, Notary
from commands.signals import LocalSignal
from commands.signatures import SigningKey
from commands.team_lease import TeamLease
from tests.stack import live_stack

SATURATED: Final = Ratio(
    row=14,
    name="events appended with the notary over those without",
    ours="with the notary: appended, events/s",
    other="without it: appended, events/s",
    target=0.97,
    moonshot=0.99,
)
PACED: Final = Ratio(
    row=14,
    name="a command's time at half that load, p50, with the notary over without",
    ours="with the notary: a command at half that load, p50 ms",
    other="without it: a command at half that load, p50 ms",
    target=1.03,
    moonshot=1.01,
    less_is_better=True,
)
P99: Final = Ratio(
    row=14,
    name="the same, p99",
    ours="with the notary: a command at half that load, p99 ms",
    other="without it: a command at half that load, p99 ms",
    target=1.1,
    moonshot=1.03,
    less_is_better=True,
)
COST: Final = Ratio(
    row=14,
    name="processor time of the whole machine for an event, with the notary over without",
    ours="with the notary: processor time of the machine, µs an event",
    other="without it: processor time of the machine, µs an event",
    target=1.05,
    moonshot=1.03,
    less_is_better=True,
)
RATIOS: Final = (SATURATED, COST, PACED, P99)
UNSIGNED: Final = "with the notary: events that it has yet to sign, at the end"
EVENTS_OF_A_LIFE: Final = 7
CAUGHT_UP_WITHIN_S: Final = 120.0
READ_UNSIGNED: Final = """
    SELECT (SELECT coalesce(max(notification_id), 0) FROM owl_log.events)
        - (SELECT coalesce(max(size), 0) FROM owl_log.signed_checkpoints)
"""


class PacedFarm(WorkingFarm):
    """A farm whose tasks may begin by the clock."""

    def command_ms(self, seconds: float, lives_per_s: float) -> tuple[float, float]:
        """How long a command takes when tasks begin by the clock: p50 and p99."""
        took = self._loop.run(self._paced(seconds, lives_per_s))
        cuts = statistics.quantiles(took, n=100)
        return cuts[49] * 1000, cuts[98] * 1000

    async def _paced(self, seconds: float, lives_per_s: float) -> list[float]:
        clock, took = asyncio.get_running_loop(), list[float]()
        free = asyncio.Queue[UUID]()
        for user in self._users:
            free.put_nowait(user)

        async def live(due_at: float) -> None:
            user = await free.get()  # after a standstill they are few: the wait counts as well
            began_at = due_at

            async def run(handler: Callable[[Any, Any], Any], command: Struct) -> None:
                nonlocal began_at
                await self._command(handler, command)
                answered_at = clock.time()
                took.append(answered_at - began_at)
                began_at = answered_at

            await self._life(run, user)
            free.put_nowait(user)

        async with asyncio.TaskGroup() as lives:
            began_at = clock.time()
            for nth in range(round(seconds * lives_per_s)):
                due_at = began_at + nth / lives_per_s
                await asyncio.sleep(due_at - clock.time())
                lives.create_task(live(due_at))
        return took


def notarise(url: str, orders: Connection, directory: str, config: Config) -> None:
    """Sign while told to, until killed."""
    asyncio.run(_notarise(url, orders, LastSigned(Path(directory)), config))


async def _notarise(
    url: str, orders: Connection, remembered: LastSigned, config: Config
) -> None:
    fence = await TeamLease(url, "notary", "benchmark").acquire()
    assert fence is not None
    notary = Notary(
        url,
        lambda: [SigningKey(bytes(32))],
        clock=lambda: datetime.now(UTC),
        committed=LocalSignal(),
        remembered=remembered,
        config=config,
    )
    while True:
        await asyncio.to_thread(orders.recv)
        working = asyncio.create_task(notary.run(fence))
        await asyncio.to_thread(orders.recv)
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working  # what it failed from is shown, and at_work sees that it has ended


def unsigned(url: str) -> int:
    """How many events no checkpoint covers."""
    with psycopg.connect(url) as connection:
        row = connection.execute(READ_UNSIGNED).fetchone()
    assert row is not None
    return int(row[0])


class NotaryApart:
    """A notary in a process of its own, that signs or rests."""

    def __init__(self, url: str, config: Config | None = None) -> None:
        self._url = url
        self._memory = TemporaryDirectory()
        self._orders, theirs = multiprocessing.Pipe()
        start = multiprocessing.get_context("spawn").Process
        told = (url, theirs, self._memory.name, config or Config())
        self._process = start(target=notarise, args=told)
        self._process.start()

    @property
    def process(self) -> psutil.Process:
        """To hold it and to let it go on."""
        return psutil.Process(self._process.pid)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """With it at work, once it has signed what there was."""
        self._orders.send("work")
        deadline = time.monotonic() + CAUGHT_UP_WITHIN_S
        while unsigned(self._url):
            assert self._process.is_alive(), "the notary stopped"
            assert time.monotonic() < deadline, "the notary has not caught up"
            time.sleep(0.1)
        yield
        self._orders.send("rest")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()
        self._memory.cleanup()


def busy_s() -> float:
    """Processor time of the whole machine so far, where the system tells it."""
    told = Path("/proc/stat")
    if not told.exists():
        return math.nan
    user, nice, system, _, _, irq, softirq, *_ = map(int, told.read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class Rounds:
    """Measures all figures of a round when the first one is asked for."""

    def __init__(self, farm: PacedFarm, url: str, seconds: float) -> None:
        self._farm = farm
        self._url = url
        self._notary = NotaryApart(url)
        self._seconds = seconds
        self._lives_per_s = farm.appended_per_s(2 * seconds) / EVENTS_OF_A_LIFE / 2
        self._number = 0
        self._left: dict[str, float] = {}

    def figure(self, name: str) -> float:
        """One of this round, or of the next one when this was told."""
        if name not in self._left:
            self._number += 1
            for way in (self._without, self._with)[:: 1 if self._number % 2 else -1]:
                way()
        return self._left.pop(name)

    def close(self) -> None:
        """End the notary."""
        self._notary.close()

    def _without(self) -> None:
        self._figures(*(ratio.other for ratio in RATIOS))

    def _with(self) -> None:
        with self._notary.at_work():
            self._figures(*(ratio.ours for ratio in RATIOS))
            self._left[UNSIGNED] = unsigned(self._url)

    def _figures(self, appended: str, cost: str, p50: str, p99: str) -> None:
        paced = self._farm.command_ms(self._seconds, self._lives_per_s)
        self._left[p50], self._left[p99] = paced
        before, began = busy_s(), time.perf_counter()
        per_s = self._farm.appended_per_s(self._seconds)
        events = per_s * (time.perf_counter() - began)
        self._left[appended] = per_s
        self._left[cost] = (busy_s() - before) / events * 1e6


def main() -> None:
    """Run."""
    chosen = options(__doc__ or "", rounds=15, seconds=2.0)
    with ExitStack() as open_:
        stack = open_.enter_context(live_stack(profile="durable", with_nats=False))
        url = stack.create_database()
        farm = PacedFarm(url)
        open_.callback(farm.close)
        farm.appended_per_s(2.0)  # warm
        rounds = Rounds(farm, url, chosen.seconds)
        open_.callback(rounds.close)
        names = [*(name for ratio in RATIOS for name in (ratio.other, ratio.ours)), UNSIGNED]
        contestants = {name: partial(rounds.figure, name) for name in names}
        tell(measure(contestants, RATIOS, chosen), chosen)


if __name__ == "__main__":
    main()
