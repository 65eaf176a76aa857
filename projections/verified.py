"""What a comparison of two generations found; the last one of each read model is kept."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
import psycopg
from msgspec import Struct
from msgspec.structs import replace

from projections.comparing import Difference
from projections.contrasting import Contrast

NOTE: Final = """
    INSERT INTO owl_read.comparisons (read_model, found) VALUES (%(read_model)s, %(found)s)
    ON CONFLICT (read_model) DO UPDATE SET found = EXCLUDED.found, compared_at = now()
"""
LAST: Final = "SELECT read_model, found::text, compared_at FROM owl_read.comparisons"


class Verified(Struct, frozen=True, kw_only=True):
    """``differing`` names for each table that differs the buckets, of 256, that do.

    Where other folds made one side, ``contrast`` says how the two differ; there are no buckets
    and no checksum then. ``live_position`` and ``other_position`` are where the two stand:
    behind ``at_position`` only if no program that runs has the folds that made those rows.
    ``other_state`` is ``building`` for what was built and waits, ``kept`` for the way back.
    """

    read_model: str
    live_generation: int
    other_generation: int
    at_position: int
    checksum: str
    differing: dict[str, tuple[int, ...]]
    differences: tuple[Difference, ...]
    live_position: int
    other_position: int
    other_state: Literal["building", "kept"]
    contrast: Contrast | None
    seconds: float

    @property
    def rows_that_differ(self) -> int | None:
        """Counted where other folds made one side; by the same folds only whether any do."""
        if self.contrast is not None:
            return self.contrast.rows_that_differ
        return None if self.differing else 0


class LastComparison(Struct, frozen=True, kw_only=True):
    """What the last comparison of a read model found, and when."""

    found: Verified
    compared_at: datetime


def note_comparison(connection: psycopg.Connection[Any], found: Verified) -> None:
    """Keep it until the next one; but no row of it, which may be about a person."""
    kept = msgspec.json.encode(replace(found, differences=())).decode()
    connection.execute(NOTE, {"read_model": found.read_model, "found": kept})


def last_comparisons(rows: Iterable[tuple[str, str, datetime]]) -> dict[str, LastComparison]:
    """What ``LAST`` gives, by read model; what another version kept otherwise is left out."""
    last = {}
    for read_model, found, compared_at in rows:
        try:
            verified = msgspec.json.decode(found, type=Verified)
        except msgspec.ValidationError:
            continue
        last[read_model] = LastComparison(found=verified, compared_at=compared_at)
    return last
