"""A bound on facts that anybody can cause: so many a minute, and the others counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

MOST: Final = 60
WITHIN_S: Final = 60.0


class FewFacts:
    """How many facts of this kind a process still makes in this minute."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._began_s = now_s()
        self._told = 0
        self._untold = 0

    def admit(self) -> int | None:
        """How many since the last fact have none; ``None`` when this one has none either."""
        now_s = self._now_s()
        if now_s - self._began_s >= WITHIN_S:
            self._began_s, self._told = now_s, 0
        if self._told >= MOST:
            self._untold += 1
            return None
        self._told += 1
        untold, self._untold = self._untold, 0
        return untold
