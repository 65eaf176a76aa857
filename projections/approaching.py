"""Brings what is being built near to the head of a log that goes on being written meanwhile.

What came while history was folded is history too: folded by the same engine, for all read
models together. To follow the log is for the little that is left, one read model at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import psycopg

from domain.ports import EventFeed
from projections.fingerprint import fingerprint
from projections.projector import Generation
from projections.read_model import ReadModel
from projections.switching import Live, live_of

NEAR_EVENTS: Final = 10_000
"""Rows by other folds that lag no more are contrasted at their own position."""

Fill = Callable[[Sequence[Generation], int], dict[str, str]]
"""Brings generations to a position; why those that failed did."""


def is_comparable(live: Live, read_model: ReadModel) -> bool:
    """Whether the live rows have to be the same: the same folds made them, to the end."""
    return live.fingerprint == fingerprint(read_model) and not live.stopped


def end_of_history(
    connection: psycopg.Connection[object], feed: EventFeed, read_models: Sequence[ReadModel]
) -> int:
    """Where history ends now: a live one can only be compared where it has been."""
    head = feed.head()
    lives = [(model, live_of(connection, model)) for model in read_models]
    comparable = [
        live.position
        for model, live in lives
        if is_comparable(live, model)
        or (not live.stopped and head - live.position <= NEAR_EVENTS)
    ]
    return min(comparable, default=head)


def approach(
    generations: Sequence[Generation],
    upto: int | None,
    near_events: int,
    fill: Fill,
    end: Callable[[Sequence[ReadModel]], int],
) -> dict[str, str]:
    """Fill ``upto`` there, if it is said; then what came meanwhile, while that gets less."""
    failed: dict[str, str] = {}
    before: float = math.inf
    left = list(generations)
    while left:
        if upto is None:
            upto = end([each.read_model for each in left])
            to_come = upto - min(each.position for each in left)
            if not near_events < to_come < before:
                break
            before = to_come
        failed |= fill(left, upto)
        left = [each for each in left if each.read_model.name not in failed]
        upto = None
    return failed
