"""Rebuilds a read model beside the live one: build, catch up, compare, switch.

Queries see the old rows until the one commit that shows the new ones, and the old generation
is kept for the way back. Whatever fails before that commit leaves the live one as it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

import psycopg
from msgspec import Struct

from domain.ports import EventFeed
from projections.building import (
    Builder,
    BuildingConfig,
    History,
    begin,
    discard,
    feed_history,
)
from projections.checksum import digest, table_checksums
from projections.fingerprint import fingerprint
from projections.folding import Poisoned
from projections.read_model import ReadModel
from projections.switching import Live, live_of, switch

Step = Literal["folding", "writing", "comparing", "switching", "done"]

ONE_REBUILD: Final = """
    SELECT pg_try_advisory_lock(hashtext('owl_read.rebuild'), hashtext(%(read_model)s))
"""
SNAPSHOT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
UTC: Final = "SET timezone = 'UTC'"


class RebuildFailed(Exception):
    """The new generation was thrown away; the live one is as it was."""


class Progress(Struct, frozen=True, kw_only=True):
    """How far a rebuild is; ``eta_s`` is ``None`` until there is a speed to tell it from."""

    read_model: str
    step: Step
    position: int
    upto: int
    events_per_s: float
    eta_s: float | None

    @property
    def percent(self) -> float:
        """How much of the history has been folded, 0-100."""
        return 100.0 * self.position / self.upto if self.upto else 100.0


class Rebuilt(Struct, frozen=True, kw_only=True):
    """What a rebuild did.

    ``compared`` says whether the live rows were made by the same folds, so that the two had to
    be equal; ``differing`` names the tables that were not.
    """

    read_model: str
    before_generation: int
    after_generation: int
    at_position: int
    checksum: str
    compared: bool
    differing: tuple[str, ...]
    seconds: float


def rebuild(
    conninfo: str,
    feed: EventFeed,
    read_model: ReadModel,
    *,
    append_lock: tuple[int, int],
    progress: Callable[[Progress], None],
    history: History | None = None,
    switch_if_different: bool = False,
    config: BuildingConfig | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Rebuilt:
    """Build the next generation of ``read_model`` and let queries see it.

    ``append_lock`` is the key of the advisory lock that every append to the log takes.
    ``history`` may be given where there is a faster way than ``feed`` to read the past.
    ``switch_if_different`` takes the new rows though they are not those of the live
    generation; without it a difference is a finding and the live rows stay.

    Raises:
        RebuildFailed: another rebuild is at work, an event cannot be folded, or rows differ.
    """
    job = _Rebuild(
        conninfo, feed, read_model, config or BuildingConfig(), _Told(progress, monotonic)
    )
    with _sole(conninfo, read_model) as live:
        number = begin(conninfo, read_model)
        try:
            return job.run(live, number, append_lock, history, force=switch_if_different)
        except Poisoned as poison:
            raise RebuildFailed(f"{poison}: {poison.__cause__!r}") from poison
        finally:
            discard(conninfo, read_model)


class _Told(Struct):
    """Whom to tell of the progress, and by which clock."""

    progress: Callable[[Progress], None]
    monotonic: Callable[[], float]


class _Rebuild:
    def __init__(
        self,
        conninfo: str,
        feed: EventFeed,
        read_model: ReadModel,
        config: BuildingConfig,
        told: _Told,
    ) -> None:
        self._conninfo = conninfo
        self._feed = feed
        self._read_model = read_model
        self._config = config
        self._told = told
        self._began = told.monotonic()

    def run(
        self,
        live: Live,
        number: int,
        append_lock: tuple[int, int],
        history: History | None,
        *,
        force: bool,
    ) -> Rebuilt:
        model = self._read_model
        comparable = live.fingerprint == fingerprint(model) and not live.stopped
        # a live generation can only be compared where it has been: build no further than that
        upto = live.position if comparable else self._feed.head()
        batches = (history or feed_history(self._feed, self._config.batch_events))(0, upto)
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            builder = Builder(connection, model, number, self._config)
            for events in batches:
                builder.fill(events)
                self._tell("folding", builder.position, upto)
            self._tell("writing", builder.position, upto)
            builder.write_out()
            differing = self._compared(builder, live) if comparable else ()
            if differing and not force:
                raise RebuildFailed(f"rows differ from the live ones in {', '.join(differing)}")
            self._follow(builder, self._feed.head())
            self._tell("switching", builder.position, builder.position)
            checksum = digest(builder.checksums())
            position = switch(
                self._conninfo,
                model,
                number,
                append_lock=append_lock,
                catch_up=lambda: self._follow(builder, self._feed.head()),
            )
        self._tell("done", position, position)
        return Rebuilt(
            read_model=model.name,
            before_generation=live.generation,
            after_generation=number,
            at_position=position,
            checksum=checksum,
            compared=comparable,
            differing=differing,
            seconds=self._told.monotonic() - self._began,
        )

    def _compared(self, builder: Builder, live: Live) -> tuple[str, ...]:
        """The tables whose rows differ at one position; neither side is made to wait.

        A snapshot holds the live rows at the position that its checkpoint says, while the
        runner goes on; the new generation is brought to that position.
        """
        with psycopg.connect(self._conninfo) as snapshot:
            snapshot.execute(SNAPSHOT)
            snapshot.execute(UTC)
            position = live_of(snapshot, self._read_model).position
            self._tell("comparing", position, position)
            theirs = table_checksums(snapshot, self._read_model, live.generation)
        self._follow(builder, position)
        ours = builder.checksums()
        return tuple(name for name, checksum in theirs.items() if ours[name] != checksum)

    def _follow(self, builder: Builder, upto: int) -> int:
        while builder.position < upto:
            limit = min(self._config.batch_events, upto - builder.position)
            events = self._feed.read(builder.position, limit)
            assert events, "the log ends before its own head"
            builder.follow(events)
            self._tell("folding", builder.position, upto)
        return builder.position

    def _tell(self, step: Step, position: int, upto: int) -> None:
        elapsed_s = self._told.monotonic() - self._began
        speed = position / elapsed_s if elapsed_s > 0 else 0.0
        self._told.progress(
            Progress(
                read_model=self._read_model.name,
                step=step,
                position=position,
                upto=upto,
                events_per_s=speed,
                eta_s=(upto - position) / speed if speed else None,
            )
        )


@contextmanager
def _sole(conninfo: str, read_model: ReadModel) -> Iterator[Live]:
    """The live generation, while no other rebuild of this read model may begin."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        row = connection.execute(ONE_REBUILD, {"read_model": read_model.name}).fetchone()
        if row is None or not row[0]:
            raise RebuildFailed(f"{read_model.name} is being rebuilt already")
        yield live_of(connection, read_model)
