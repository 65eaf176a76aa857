"""How fast a rebuild goes: when a chunk is full, and how long to rest after working."""

from __future__ import annotations

import time

from msgspec import Struct


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
