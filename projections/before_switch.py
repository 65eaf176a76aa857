"""Both sides of a switch to other folds, as they were before it, to be contrasted after it.

Two snapshots hold them, so that queries need not wait until all rows have been read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

import psycopg
from msgspec import Struct

from domain.ports import EventFeed, Undecodable
from projections.comparing import SESSION, SNAPSHOT, Side
from projections.contrasting import contrast
from projections.folding import Poisoned
from projections.following import Follower
from projections.pace import BuildingConfig
from projections.projector import Generation
from projections.statements import schema_of
from projections.switching import Live, live_of
from projections.verified import Verified

ROWS_MAX: Final = 2_000_000
"""Of more rows an operator has to order it: ``owl projections diff``."""
NOW: Final = "SELECT 1"
ROWS: Final = """
    SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class
    WHERE relkind = 'r' AND relnamespace = to_regnamespace(%(schema)s)
"""


class Held(Struct, frozen=True, kw_only=True):
    """A read model as two snapshots have it."""

    generation: Generation
    live: Live
    other_position: int
    before: psycopg.Connection[Any]
    after: psycopg.Connection[Any]

    @property
    def name(self) -> str:
        """Of the read model."""
        return self.generation.read_model.name

    def contrasted(self) -> Verified | None:
        """How the two differ; nothing if one was dropped meanwhile."""
        began = time.monotonic()
        model = self.generation.read_model
        number = self.generation.generation
        before, after = Side(self.before, self.live.generation), Side(self.after, number)
        try:
            # the snapshots are those of other pairs too
            with self.before.transaction(), self.after.transaction():
                found, _ = contrast(before, after, model, 0)
        except psycopg.errors.UndefinedTable:
            return None
        return Verified(
            read_model=model.name,
            live_generation=self.live.generation,
            other_generation=number,
            at_position=max(self.live.position, self.other_position),
            checksum="",
            differing=dict.fromkeys(found.differing, ()),
            differences=(),
            live_position=self.live.position,
            other_position=self.other_position,
            other_state="building",
            contrast=found,
            seconds=time.monotonic() - began,
        )


@contextmanager
def held_before_switch(
    conninfo: str, feed: EventFeed, generations: Sequence[Generation], config: BuildingConfig
) -> Iterator[list[Held]]:
    """The live rows of each as of one moment, and what was built at the same position."""
    if not generations:
        yield []
        return
    with psycopg.connect(conninfo) as before, psycopg.connect(conninfo) as after:
        _hold(before)
        lives = {}
        for each in generations:
            if _rows(before, each, live_of(before, each.read_model)) <= ROWS_MAX:
                lives[each.read_model.name] = live = live_of(before, each.read_model)
                _follow(conninfo, feed, each, live.position, config)
        positions = {each.read_model.name: each.position for each in generations}
        _hold(after)
        yield [
            Held(
                generation=each,
                live=lives[each.read_model.name],
                other_position=positions[each.read_model.name],
                before=before,
                after=after,
            )
            for each in generations
            if each.read_model.name in lives
        ]


def _hold(connection: psycopg.Connection[Any]) -> None:
    connection.execute(SNAPSHOT)
    connection.execute(SESSION)
    connection.execute(NOW)


def _rows(connection: psycopg.Connection[Any], generation: Generation, live: Live) -> int:
    schema = schema_of(generation.read_model.name, live.generation)
    row = connection.execute(ROWS, {"schema": schema}).fetchone()
    assert row is not None, "an aggregate gives one row"
    return int(row[0])


def _follow(
    conninfo: str, feed: EventFeed, generation: Generation, upto: int, config: BuildingConfig
) -> None:
    if generation.position >= upto:
        return
    follower = Follower(
        conninfo, feed, batch_events=config.batch_events, rows_kept=config.rows_kept
    )
    # an event that cannot be folded is met again, and told, when it goes on to the head
    with closing(follower), suppress(Poisoned, Undecodable):
        follower.follow(generation, upto)
