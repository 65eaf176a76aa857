"""How far a rebuild is, told at most some times a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, Literal

from msgspec import Struct

from projections.generations import Opened
from projections.jobs import SETTLED_S

Stage = Literal["folding", "indexing", "comparing", "switching", "done"]
TELL_EVERY_S: Final = 0.1


class Progress(Struct, frozen=True, kw_only=True):
    """``eta_s`` is ``None`` until there is a pace to tell it from."""

    stage: Stage
    position: int
    upto: int
    events_per_s: float
    eta_s: float | None

    @property
    def percent(self) -> float:
        """How much of the history has been folded, 0-100."""
        return 100.0 * min(self.position, self.upto) / self.upto if self.upto else 100.0


class Telling:
    """Makes a progress of each position; the pace is that of this process."""

    def __init__(self, progress: Callable[[Progress], None]) -> None:
        self._progress = progress
        self._from = self._upto = 0
        self._began = self._told = time.monotonic()

    def begin(self, opened: Mapping[str, Opened], upto: int) -> None:
        """From here on."""
        self._from = min(each.generation.position for each in opened.values())
        self._upto = upto
        self._began = self._told = time.monotonic()
        self.step("folding", self._from)

    def folded(self, position: int) -> None:
        """Folding has come to ``position``."""
        if time.monotonic() - self._told >= TELL_EVERY_S:
            self.step("folding", position)

    def step(self, stage: Stage, position: int) -> None:
        """Tell at once."""
        self._told = time.monotonic()
        elapsed_s = self._told - self._began
        pace = (position - self._from) / elapsed_s if elapsed_s > 0 else 0.0
        left = max(0, self._upto - position)
        self._progress(
            Progress(
                stage=stage,
                position=position,
                upto=self._upto,
                events_per_s=pace,
                eta_s=left / pace if pace > 0 and elapsed_s >= SETTLED_S else None,
            )
        )
