"""Verifies on demand: what was built and waits, or what is kept, against the live rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, Final, Literal

import psycopg
from msgspec import Struct

from domain.ports import EventFeed
from projections.beside import NothingBeside, newest_kept, why_nothing
from projections.comparing import (
    Side,
    compare,
    differences,
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
from projections.switching import Shown, require_feeders, switch
from projections.verified import Verified, note_comparison
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
        verified = Verified(
            read_model=read_model.name,
            live_generation=live.generation,
            other_generation=other.generation,
            at_position=max(sides.live_position, sides.other_position),
            checksum=checksum,
            differing=differing,
            differences=rows,
            live_position=sides.live_position,
            other_position=sides.other_position,
            other_state=sides.other_state,
            contrast=found,
            seconds=time.monotonic() - began,
        )
    with psycopg.connect(conninfo) as connection:
        note_comparison(connection, verified)
    return verified


def show_built(conninfo: str, log: Log, read_model: ReadModel, *, unfed: bool = False) -> Shown:
    """Let queries see what was built and waits; it catches up first.

    ``unfed`` is for who feeds it from then on, or takes it that nobody does.

    Raises:
        NothingBeside: nothing is ready.
        NotPossible: other folds made the live rows, and no worker would feed these.
        BeingRebuilt: somebody builds it just now.
    """
    with sole(conninfo, [read_model]) as lives:
        generation = _built(conninfo, read_model)
        if generation is None:
            with psycopg.connect(conninfo) as connection:
                raise why_nothing(
                    connection, read_model, live=lives[read_model.name].generation
                )
        with (
            closing(_follower(conninfo, log.feed)) as follower,
            psycopg.connect(conninfo, autocommit=True) as connection,
        ):
            if not unfed:
                require_feeders(connection, [read_model])
            position = switch(
                connection,
                read_model,
                generation.generation,
                append_lock=log.append_lock,
                catch_up=partial(follower.follow_to_head, generation),
            )
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
    live_position: int
    other_position: int
    other_state: Literal["building", "kept"]
    of_other_folds: bool


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
                with closing(_follower(conninfo, feed)) as follower:
                    follower.follow(generation, at.position)
                with shown(conninfo, generation.generation) as other:
                    yield _Sides(
                        live=live,
                        other=other,
                        live_position=at.position,
                        other_position=generation.position,
                        other_state="building",
                        of_other_folds=is_other,
                    )
                return
        time.sleep(PAUSE_S)
    raise NothingBeside(read_model.name, "live_lags")


@contextmanager
def _kept(conninfo: str, read_model: ReadModel) -> Iterator[_Sides]:
    """Both of one snapshot; they are fed together, so mostly stand at one position.

    One that other folds made stands still unless a program that has them runs: then the two
    are compared where they stand.
    """
    for tried in range(TRIES):
        with live_snapshot(conninfo, read_model) as (live, at):
            kept = newest_kept(live.connection, read_model)
            if kept is None:
                raise _nothing_to_compare(live.connection, read_model, at.generation)
            is_other = kept.fingerprint != at.fingerprint
            stands_still = is_other and (kept.stopped or at.stopped or tried >= TRIES_UNFED)
            if kept.position == at.position or stands_still:
                yield _Sides(
                    live=live,
                    other=Side(live.connection, kept.generation),
                    live_position=at.position,
                    other_position=kept.position,
                    other_state="kept",
                    of_other_folds=is_other,
                )
                return
        time.sleep(PAUSE_S)
    raise NothingBeside(read_model.name, "kept_lags")


def _nothing_to_compare(
    connection: psycopg.Connection[Any], read_model: ReadModel, live: int
) -> NothingBeside:
    why = why_nothing(connection, read_model, live=live)
    if why.why == "nothing_built":
        return NothingBeside(read_model.name, "nothing_beside", live=live)
    return why


def _built(conninfo: str, read_model: ReadModel) -> Generation | None:
    about = {"read_model": read_model.name, "fingerprint": fingerprint(read_model)}
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(BUILT, about).fetchone()
    return None if row is None else Generation(read_model, row[0], "building", row[1])


def _follower(conninfo: str, feed: EventFeed) -> Follower:
    return Follower(conninfo, feed, batch_events=BATCH_EVENTS, rows_kept=ROWS_KEPT)
