"""Verifies on demand: what was built and waits, or what is kept, against the live rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import psycopg
from msgspec import Struct

from domain.ports import EventFeed
from projections.comparing import (
    Difference,
    Side,
    compare,
    differences,
    kept_beside,
    live_snapshot,
    shown,
)
from projections.contrasting import Contrast, contrast
from projections.exclusive import sole
from projections.fingerprint import fingerprint
from projections.following import Follower
from projections.generations import discard
from projections.jobs import note_step
from projections.migrate import ONE_AT_A_TIME
from projections.projector import Generation
from projections.read_model import ReadModel
from projections.rebuild import Log
from projections.switching import Shown, switch
from projections.versions import want

BUILT: Final = """
    SELECT job.generation, position FROM owl_read.rebuilds AS job
    JOIN owl_read.checkpoints USING (read_model, generation)
    WHERE read_model = %(read_model)s AND state = 'building' AND step IN ('ready', 'differs')
        AND checkpoints.fingerprint = %(fingerprint)s
"""
RESUME: Final = """
    UPDATE owl_read.checkpoints AS mended SET stopped_at = NULL, error = NULL
    FROM owl_read.checkpoints AS was
    WHERE mended.read_model = %(read_model)s AND mended.stopped_at IS NOT NULL
        AND (was.read_model, was.generation) = (mended.read_model, mended.generation)
    RETURNING was.stopped_at
"""
TRIES: Final = 100
TRIES_UNFED: Final = 20
"""Live rows by other folds may stand still: no program that runs here may have them."""
PAUSE_S: Final = 0.05
BATCH_EVENTS: Final = 2_000
ROWS_KEPT: Final = 50_000


class NothingBeside(Exception):
    """There is no other generation to compare with, or to show."""


class Verified(Struct, frozen=True, kw_only=True):
    """``differing`` names for each table that differs the buckets, of 256, that do.

    Where other folds made the live rows, ``contrast`` says how the two differ; there are no
    buckets and no checksum then. ``live_position`` is where those rows stand: behind
    ``at_position`` only if no program that runs has the folds that made them.
    """

    read_model: str
    live_generation: int
    other_generation: int
    at_position: int
    checksum: str
    differing: dict[str, tuple[int, ...]]
    differences: tuple[Difference, ...]
    live_position: int
    contrast: Contrast | None
    seconds: float


def verify(
    conninfo: str, feed: EventFeed, read_model: ReadModel, *, limit: int = 0
) -> Verified:
    """Compare as of one position; ``limit`` is how many rows that differ are looked up.

    Raises:
        NothingBeside: there is no other generation.
        BeingRebuilt: somebody builds it just now.
    """
    began = time.monotonic()
    with sole(conninfo, [read_model]), _sides(conninfo, feed, read_model) as sides:
        live, other = sides.live, sides.other
        found: Contrast | None = None
        differing: dict[str, tuple[int, ...]]
        if sides.of_other_folds:
            found, rows = contrast(live, other, read_model, limit)
            checksum, differing = "", dict.fromkeys(found.differing, ())
        else:
            comparison = compare(live, other, read_model)
            rows = differences(live, other, read_model, comparison, limit)
            checksum, differing = comparison.checksum, comparison.differing
        return Verified(
            read_model=read_model.name,
            live_generation=live.generation,
            other_generation=other.generation,
            at_position=sides.at_position,
            checksum=checksum,
            differing=differing,
            differences=rows,
            live_position=sides.live_position,
            contrast=found,
            seconds=time.monotonic() - began,
        )


def show_built(conninfo: str, log: Log, read_model: ReadModel) -> Shown:
    """Let queries see what was built and waits; it catches up first.

    Raises:
        NothingBeside: nothing is ready.
        BeingRebuilt: somebody builds it just now.
    """
    with sole(conninfo, [read_model]) as lives:
        generation = _built(conninfo, read_model)
        if generation is None:
            raise NothingBeside(f"nothing is built of {read_model.name} that could be shown")
        with closing(_follower(conninfo, log.feed, generation)) as follower:
            position = switch(
                conninfo,
                read_model,
                generation.generation,
                append_lock=log.append_lock,
                catch_up=follower.follow_to_head,
            )
        with psycopg.connect(conninfo) as connection:
            note_step(connection, read_model.name, "switched")
            want(connection, read_model.name, fingerprint(read_model))
        return Shown(
            read_model=read_model.name,
            before_generation=lives[read_model.name].generation,
            after_generation=generation.generation,
            at_position=position,
        )


def abandon(conninfo: str, read_model: ReadModel) -> bool:
    """Throw away what is left of a rebuild at which nobody works; whether there was any.

    Raises:
        BeingRebuilt: somebody works at it.
    """
    with sole(conninfo, [read_model]):
        gone = discard(conninfo, read_model)
        if gone:
            with psycopg.connect(conninfo) as connection:
                note_step(connection, read_model.name, "cancelled")
        return bool(gone)


def resume(connection: psycopg.Connection[Any], read_model: str) -> int | None:
    """Let one that has stopped at an event try it again; which event that is.

    Its rows are those of the position before, so nothing is done twice.
    """
    connection.execute(ONE_AT_A_TIME)
    row = connection.execute(RESUME, {"read_model": read_model}).fetchone()
    return None if row is None else int(row[0])


class _Sides(Struct, frozen=True, kw_only=True):
    live: Side
    other: Side
    at_position: int
    live_position: int
    of_other_folds: bool = False


@contextmanager
def _sides(conninfo: str, feed: EventFeed, read_model: ReadModel) -> Iterator[_Sides]:
    generation = _built(conninfo, read_model)
    if generation is None:
        with _kept(conninfo, read_model) as sides:
            yield sides
        return
    for tried in range(TRIES):
        with live_snapshot(conninfo, read_model) as (live, at):
            is_other = at.fingerprint != fingerprint(read_model)
            stands_still = is_other and (at.stopped or tried >= TRIES_UNFED)
            if at.position >= generation.position or stands_still:
                with closing(_follower(conninfo, feed, generation)) as follower:
                    follower.follow(at.position)
                with shown(conninfo, generation.generation) as other:
                    yield _Sides(
                        live=live,
                        other=other,
                        at_position=generation.position,
                        live_position=at.position,
                        of_other_folds=is_other,
                    )
                return
        time.sleep(PAUSE_S)
    raise NothingBeside(f"the live rows of {read_model.name} lag behind what was built")


@contextmanager
def _kept(conninfo: str, read_model: ReadModel) -> Iterator[_Sides]:
    """Both of one snapshot; they are fed together, so mostly stand at one position."""
    for _ in range(TRIES):
        with live_snapshot(conninfo, read_model) as (live, at):
            kept = kept_beside(live, read_model, at.fingerprint)
            if kept is None:
                raise NothingBeside(
                    f"no other generation of {read_model.name} by the same folds is there;"
                    f" owl projections rebuild {read_model.name} --switch manual makes one"
                )
            if kept[1] == at.position:
                yield _Sides(
                    live=live,
                    other=Side(live.connection, kept[0]),
                    at_position=at.position,
                    live_position=at.position,
                )
                return
        time.sleep(PAUSE_S)
    raise NothingBeside(f"the kept generation of {read_model.name} does not keep up")


def _built(conninfo: str, read_model: ReadModel) -> Generation | None:
    about = {"read_model": read_model.name, "fingerprint": fingerprint(read_model)}
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(BUILT, about).fetchone()
    return None if row is None else Generation(read_model, row[0], "building", row[1])


def _follower(conninfo: str, feed: EventFeed, generation: Generation) -> Follower:
    return Follower(conninfo, feed, generation, batch_events=BATCH_EVENTS, rows_kept=ROWS_KEPT)
