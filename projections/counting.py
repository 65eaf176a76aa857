"""By how much rows that come and go change a tally."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from projections.read_model import Tally


class Counting:
    """What one write adds to one tally."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._n: Counter[tuple[Any, ...]] = Counter()

    def note(self, gone: Sequence[Any], come: Sequence[Any]) -> None:
        """Rows as they were, and rows as they are."""
        group, amount, n = self._tally.group, self._tally.amount, self._n
        if amount is None:
            n.subtract(map(group, gone))
            n.update(map(group, come))
            return
        for row in gone:
            if by := amount(row):
                n[group(row)] -= by
        for row in come:
            if by := amount(row):
                n[group(row)] += by

    def of(self, gone: Sequence[Any], come: Sequence[Any]) -> list[dict[str, Any]]:
        """What these alone change."""
        self.note(gone, come)
        return self.take()

    def take(self) -> list[dict[str, Any]]:
        """The groups that changed, each with its difference; begins anew."""
        named = self._tally.named
        rows = [{**named(key), "n": n} for key, n in self._n.items() if n]
        self._n.clear()
        return rows
