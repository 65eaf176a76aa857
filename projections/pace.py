"""How fast a rebuild goes: when a chunk is full, and how long to rest after working."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

SWITCH_INTERVAL_S = 0.0005
"""The writer needs Python's lock for a moment between two pieces of some hundred kilobytes, and
would wait five milliseconds for it each time while the other thread folds."""


class BuildingConfig(Struct, frozen=True, kw_only=True):
    """A chunk ends after so many events or so much time; ``rows_kept`` is by table.

    ``max_load`` is the share of the time in which the builder works; it rests for the others.
    """

    chunk_events: int = 20_000
    chunk_s: float = 2.0
    rows_kept: int = 200_000
    batch_events: int = 2_000
    max_load: float = 1.0


class Pace:
    """When a chunk is full, and how long to rest after working."""

    def __init__(self, config: BuildingConfig) -> None:
        self._config = config
        self._events = 0
        self._chunk_began = self._resumed = time.monotonic()

    def rest(self) -> None:
        """Leave the machine to others for their share of the time."""
        load = self._config.max_load
        if load < 1.0:
            time.sleep((time.monotonic() - self._resumed) * (1.0 - load) / load)
            self._resumed = time.monotonic()

    def chunk_is_full(self, events: int) -> bool:
        """Whether ``events`` more make the chunk full; then the next one begins."""
        self._events += events
        now = time.monotonic()
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
