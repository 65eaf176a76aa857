"""Whether the machine has room: whoever can wait leaves it to those who cannot."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import psutil

PROCESSORS: Final = 1.0
"""So many are idle where there is room, or half of those that there are if that is less."""


def idle_s() -> float:
    """How long the machine's processors have been idle, all added up; in seconds."""
    told = psutil.cpu_times()
    # one that waits for a disk has time as well; only Linux tells it apart
    return float(told.idle + getattr(told, "iowait", 0.0))


class Room:
    """What processor time was left over of late."""

    def __init__(
        self,
        idle_s: Callable[[], float] = idle_s,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wanted = min(PROCESSORS, (psutil.cpu_count() or 1) / 2)
        self._idle_s = idle_s
        self._clock = clock
        self.look()

    def look(self) -> None:
        """Begin to look."""
        self._since, self._was = self._clock(), self._idle_s()

    def is_there(self) -> bool:
        """Whether enough processors were idle, on average, since the look began."""
        return self._idle_s() - self._was >= self._wanted * (self._clock() - self._since)
