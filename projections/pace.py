"""How fast a rebuild goes: when a chunk is full, when to rest for others, what it does at once.

Where nobody writes it works all the time. Beside writers it works for some milliseconds at a
time and rests for longer: the median of their waits is that of the time in which it rests. It
is a share and not what is idle, for a server of Postgres does its work at its own priority.
"""

from __future__ import annotations

import gc
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from msgspec import Struct

from domain.ports import OutOfReach

SWITCH_INTERVAL_S = 0.0005
"""The writer needs Python's lock for a moment between two pieces of some hundred kilobytes, and
would wait five milliseconds for it each time while the other thread folds."""
BESIDE_WRITERS: Final = 0.15
"""Measured on two processors of which 2,000 events/s take nine tenths, 1.5 million events, held
and let go on by turns, four rounds: writers' median wait is 1.07 of that without, with a fifth
of the time 1.22; with a fifth in turns half as long 1.31."""
AT_ONCE_ABOVE: Final = 0.5
"""Who may work more of the time than that makes two indexes at once and compares both sides at
once. Measured as above, 400,000 events, two rounds by turns: to index, writers' median wait is
4.9 and 4.4 of that without with two, 1.3 and 1.5 with one; to compare, 2.4 and 3.2, and 1.7."""
WRITTEN_PER_S: Final = 10.0
"""Fewer events than that are a farm at rest, or the rebuild's own notes."""
LOOK_FIRST_S: Final = 0.05
LOOK_EVERY_S: Final = 0.5
PERIOD_S: Final = 0.04
"""All who rebuild go on at its multiples: two that work at once disturb no longer than one.
A turn disturbs those who write a while before it, too, who are not done, and after it, until
what waited is done; so fewer and longer ones disturb fewer."""


class BuildingConfig(Struct, frozen=True, kw_only=True):
    """A chunk ends after so many events or so much time; ``rows_kept`` is by table.

    What came while history was folded is folded as history too, down to ``near_events``.
    ``max_load`` is the share of the time in which the builder works, ``beside_writers`` that
    while others write to the log.
    """

    chunk_events: int = 20_000
    chunk_s: float = 2.0
    rows_kept: int = 200_000
    batch_events: int = 2_000
    near_events: int = 2_000
    max_load: float = 1.0
    beside_writers: float = BESIDE_WRITERS


def share_of(config: BuildingConfig, written_per_s: float) -> float:
    """The share of the time in which to work while others write so many events."""
    if written_per_s < WRITTEN_PER_S:
        return config.max_load
    return min(config.max_load, config.beside_writers)


class Others:
    """Whether others write to the log, whose end ``head`` tells; it is not asked too often."""

    def __init__(
        self,
        config: BuildingConfig,
        head: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._head = head
        self._clock = clock
        self._looked = clock()
        self._look_at = self._looked + LOOK_FIRST_S
        self._seen = head()
        self._share = config.max_load

    def share(self) -> float:
        """The share of the time in which to work."""
        if self._clock() >= self._look_at:
            with suppress(OutOfReach):  # the builder's own connection will say so
                self._look()
        return self._share

    def leave_room(self) -> bool:
        """Whether to do one thing at a time, where that goes on for long."""
        return self.share() <= AT_ONCE_ABOVE

    def _look(self) -> None:
        before, since = self._seen, self._looked
        self._seen, self._looked = self._head(), self._clock()
        self._look_at = self._looked + LOOK_EVERY_S
        self._share = share_of(self._config, (self._seen - before) / (self._looked - since))


class Turns:
    """When one thread works and when it rests, so that over time it has ``share`` of it."""

    def __init__(
        self,
        share: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._share = share
        self._clock = clock
        self._sleep = sleep
        self._left_s = 0.0  # of what it may work; below zero it has to rest
        self._told = clock()

    def rest(self) -> None:
        """Between two pieces of work: until the next turn, if this one is over."""
        share = self._share()
        worked_s = self._lap()
        if share >= 1.0:
            self._left_s = 0.0
            return
        self._left_s -= worked_s * (1.0 - share)
        if self._left_s > 0.0:
            return
        goes_on = math.ceil((self._told - self._left_s / share) / PERIOD_S) * PERIOD_S
        self._sleep(max(0.0, goes_on - self._told))
        self._left_s = min(self._left_s + self._lap() * share, share * PERIOD_S)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """For another thread, which has its own turns: that is no work of this one."""
        began = self._clock()
        yield
        self._told += self._clock() - began

    def _lap(self) -> float:
        before, self._told = self._told, self._clock()
        return self._told - before


class Pace:
    """When a chunk is full, and when its builder works; ``head`` is where the log ends."""

    def __init__(
        self,
        config: BuildingConfig,
        head: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config = config
        self._others = Others(config, head, clock)
        self._clock = clock
        self._events = 0
        self._chunk_began = clock()
        self._turns = Turns(lambda: self.share, clock, sleep)
        self.waiting = self._turns.waiting
        self.share = config.max_load

    def rest(self) -> None:
        """Leave the machine to others for their share of the time."""
        self.share = self._others.share()
        self._turns.rest()

    def turns(self) -> Turns:
        """The same, for another thread."""
        return Turns(lambda: self.share)

    def chunk_is_full(self, events: int) -> bool:
        """Whether ``events`` more make the chunk full; then the next one begins."""
        self._events += events
        now = self._clock()
        config = self._config
        if self._events < config.chunk_events and now - self._chunk_began < config.chunk_s:
            return False
        self._events, self._chunk_began = 0, now
        return True


@contextmanager
def in_a_hurry() -> Iterator[None]:
    """Without looking for cycles of garbage at each turn: folds make none, and many objects."""
    was_collecting, interval_s = gc.isenabled(), sys.getswitchinterval()
    gc.disable()
    sys.setswitchinterval(min(interval_s, SWITCH_INTERVAL_S))
    try:
        yield
    finally:
        sys.setswitchinterval(interval_s)
        if was_collecting:
            gc.enable()


def collect_young() -> None:
    """What others in this process leave behind meanwhile, once a chunk."""
    gc.collect(1)
