"""What a rebuild did, and who hears of it while it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from projections.generations import Opened
from projections.verified import Verified


class Rebuilt(Struct, frozen=True, kw_only=True):
    """What a rebuild did.

    ``compared`` says whether the live rows were made by the same folds, so that the two had to
    be equal; ``differing`` names the tables that were not, and ``checksum`` is of the new rows
    then. ``switched`` is whether queries see the new rows now. ``found`` is how they differ
    from rows that other folds made; nothing if there are too many to count them unasked.
    """

    read_model: str
    before_generation: int
    after_generation: int
    at_position: int
    checksum: str
    compared: bool
    differing: tuple[str, ...]
    switched: bool
    seconds: float
    found: Verified | None = None


class Hearing(Struct, frozen=True, kw_only=True):
    """Who hears what, when it is so; in the thread of the rebuild.

    ``began`` hears of what is built, and up to where, before it is; ``concluded`` of each that
    was switched to or waits, ``found`` how its rows differ from those that other folds made.
    """

    began: Callable[[Sequence[Opened], int], None] = lambda _opened, _upto: None
    concluded: Callable[[Rebuilt], None] = lambda _rebuilt: None
    found: Callable[[Verified], None] = lambda _found: None
