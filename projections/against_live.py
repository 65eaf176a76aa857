"""What was built against the live rows that the same folds made, at one position."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Final

import psycopg

from projections.comparing import compare, live_snapshot, shown
from projections.following import Follower
from projections.projector import Generation
from projections.read_model import ReadModel
from projections.switching import live_of
from projections.verified import Verified

LIVE_WITHIN_S: Final = 30.0
LOOK_EVERY_S: Final = 0.05


class LiveLags(Exception):
    """The live rows do not come to where an earlier try came to."""


def against_live(
    conninfo: str, follower: Follower, generation: Generation, *, at_once: bool
) -> Verified:
    """Bring it to where the live rows are, and compare; both sides ``at_once`` or in turn.

    Raises:
        LiveLags: they are behind, and stay there.
    """
    began = time.monotonic()
    model = generation.read_model
    with shown(conninfo, generation.generation) as ours, ExitStack() as open_:
        _await_live(conninfo, model, generation.position)
        theirs, live = open_.enter_context(live_snapshot(conninfo, model))
        follower.follow(generation, live.position)
        comparison = compare(theirs, ours, model, at_once=at_once)
    return Verified(
        read_model=model.name,
        live_generation=live.generation,
        other_generation=generation.generation,
        at_position=live.position,
        checksum=comparison.checksum,
        differing=comparison.differing,
        differences=(),
        live_position=live.position,
        other_position=live.position,
        other_state="building",
        contrast=None,
        seconds=time.monotonic() - began,
    )


def _await_live(conninfo: str, read_model: ReadModel, position: int) -> None:
    """The live rows may lag behind where an earlier try came to."""
    patience = time.monotonic() + LIVE_WITHIN_S
    with psycopg.connect(conninfo, autocommit=True) as connection:
        while live_of(connection, read_model).position < position:
            if time.monotonic() > patience:
                raise LiveLags(f"the live rows do not come to position {position}")
            time.sleep(LOOK_EVERY_S)
