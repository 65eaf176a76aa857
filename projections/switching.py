"""Lets queries see another generation, in one commit; and the way back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import psycopg
from msgspec import Struct
from psycopg.rows import class_row

from projections.feeders import is_fed
from projections.fingerprint import fingerprint
from projections.generations import drop_schema
from projections.jobs import note_step
from projections.migrate import point_views
from projections.not_possible import NotPossible, Why
from projections.read_model import ReadModel
from projections.statements import schema_of
from projections.versions import want

T = TypeVar("T")

LIVE: Final = """
    SELECT generation, fingerprint, position, stopped_at IS NOT NULL AS stopped
    FROM owl_read.checkpoints WHERE read_model = %(read_model)s AND state = 'live'
"""
LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '1s'"
# A statement that reads two of the views may hold the one that comes second here and want the
# first. It is here that such a circle has to end, well before ``deadlock_timeout`` (a second,
# unless told otherwise) ends the reader.
VIEWS_TIMEOUT: Final = "SET LOCAL lock_timeout = '100ms'"
# whoever feeds what is to be dropped feeds the live rows as well, and waits meanwhile
DROP_TIMEOUT: Final = "SET LOCAL lock_timeout = '200ms'"
NO_APPEND: Final = "SELECT pg_advisory_xact_lock(%s, %s)"
HOLD_LIVE: Final = LIVE + "FOR UPDATE"
# What feeds the two may hold the one and want the other: that is waited for, or found to be a
# circle, while appends go on.
HOLD_SHOWN: Final = """
    SELECT FROM owl_read.checkpoints
    WHERE read_model = %(read_model)s AND state IN ('live', 'kept')
    ORDER BY generation FOR UPDATE
"""
HOLD_KEPT: Final = """
    SELECT generation, fingerprint, position, stopped_at IS NOT NULL AS stopped
    FROM owl_read.checkpoints WHERE read_model = %(read_model)s AND state = 'kept'
    ORDER BY generation DESC LIMIT 1 FOR UPDATE
"""
DROP_KEPT: Final = """
    DELETE FROM owl_read.checkpoints
    WHERE read_model = %(read_model)s AND state = 'kept' AND generation <> %(but)s
    RETURNING generation
"""
KEEP: Final = """
    UPDATE owl_read.checkpoints SET state = 'kept', updated_at = now()
    WHERE read_model = %(read_model)s AND state = 'live'
"""
SHOW: Final = """
    UPDATE owl_read.checkpoints SET state = 'live', updated_at = now()
    WHERE read_model = %(read_model)s AND generation = %(generation)s
"""
PAUSE_S: Final = 0.05
INSIST_S: Final = 10.0
"""A report that reads for long makes a switch wait; appends are let through between tries."""
INSIST_TO_DROP_S: Final = 2.0


class Live(Struct, frozen=True, kw_only=True):
    """A generation that queries see, or may see again."""

    generation: int
    fingerprint: str
    position: int
    stopped: bool


class NoWayBack(NotPossible):
    """Nothing is kept that could be shown without showing less than now."""


class Shown(Struct, frozen=True, kw_only=True):
    """Queries see ``after_generation`` now."""

    read_model: str
    before_generation: int
    after_generation: int
    at_position: int


def live_of(connection: psycopg.Connection[Any], read_model: ReadModel) -> Live:
    """The generation that queries see now."""
    with connection.cursor(row_factory=class_row(Live)) as cursor:
        live = cursor.execute(LIVE, {"read_model": read_model.name}).fetchone()
    assert live is not None, f"{read_model.name} was never prepared"
    return live


def require_feeders(
    connection: psycopg.Connection[Any], read_models: Sequence[ReadModel]
) -> None:
    """Rows by other folds than the live ones need a worker that feeds them.

    Raises:
        NotPossible: none that runs has these folds.
    """
    for model in read_models:
        mine = fingerprint(model)
        if live_of(connection, model).fingerprint == mine:
            continue
        if not is_fed(connection, model.name, mine):
            raise NotPossible(model.name, "nobody_feeds")


def switch(
    connection: psycopg.Connection[Any],
    read_model: ReadModel,
    generation: int,
    *,
    append_lock: tuple[int, int],
    catch_up: Callable[[], int],
) -> int:
    """Show ``generation``, keep the one shown before, drop what was kept until now.

    It is one transaction of ``connection``, which has none open; the job's step is noted in it.
    ``append_lock`` is the key of the advisory lock that every append to the log takes.
    ``catch_up`` brings the generation to the head of the log and says where that is. It runs
    while appends wait and the live generation stands still, so nobody is ever shown less than
    before. Only that last stretch is waited for: it is called once before as well.

    Raises:
        psycopg.errors.LockNotAvailable: something held appends or the views for too long.
    """
    names = {"read_model": read_model.name}

    def attempt() -> int:
        catch_up()
        with connection.transaction():
            connection.execute(LOCK_TIMEOUT)
            connection.execute(HOLD_SHOWN, names)
            connection.execute(NO_APPEND, append_lock)
            position = catch_up()
            parameters = {**names, "but": generation}
            dropped = connection.execute(DROP_KEPT, parameters).fetchall()
            connection.execute(KEEP, names)
            connection.execute(SHOW, {**names, "generation": generation})
            connection.execute(VIEWS_TIMEOUT)
            point_views(connection, read_model, generation)
            for (number,) in dropped:
                drop_schema(connection, schema_of(read_model.name, number))
            note_step(connection, read_model.name, "switched")
        return position

    return _insisting(attempt, INSIST_S)


def roll_back(
    conninfo: str,
    read_model: ReadModel,
    *,
    append_lock: tuple[int, int],
    unfed: bool = False,
    patience: int = 100,
) -> Shown:
    """Show the kept generation again, and keep the one shown now.

    It is fed like the live one while a program with its folds runs; ``unfed`` is for who takes
    it that none of other folds does. If it lags, the live one is waited for no longer than
    ``patience`` tries.

    Raises:
        NoWayBack: there is none, or nobody feeds it.
        psycopg.errors.LockNotAvailable: something held appends or the views for too long.
    """
    names = {"read_model": read_model.name}

    def attempt() -> Shown | NoWayBack:
        with psycopg.connect(conninfo) as connection:
            connection.execute(LOCK_TIMEOUT)
            connection.execute(HOLD_SHOWN, names)
            connection.execute(NO_APPEND, append_lock)
            with connection.cursor(row_factory=class_row(Live)) as cursor:
                live = cursor.execute(HOLD_LIVE, names).fetchone()
                kept = cursor.execute(HOLD_KEPT, names).fetchone()
            assert live is not None, f"{read_model.name} was never prepared"
            if kept is None:
                raise NoWayBack(read_model.name, "nothing_kept", live=live.generation)
            about = {"live": live.generation, "kept": kept.generation}
            if kept.position < live.position:
                about |= {"at": kept.position, "seen": live.position}
                why: Why = "kept_has_stopped" if kept.stopped else "kept_is_behind"
                return NoWayBack(read_model.name, why, **about)
            is_alike = unfed or kept.fingerprint == live.fingerprint
            if not is_alike and not is_fed(connection, read_model.name, kept.fingerprint):
                raise NoWayBack(read_model.name, "kept_is_unfed", **about)
            connection.execute(KEEP, names)
            connection.execute(SHOW, {**names, "generation": kept.generation})
            connection.execute(VIEWS_TIMEOUT)
            try:
                point_views(connection, read_model, kept.generation)
            except psycopg.errors.UndefinedTable as error:
                why = "kept_has_other_tables"
                raise NoWayBack(read_model.name, why, **about) from error
            want(connection, read_model.name, kept.fingerprint)
        return Shown(
            read_model=read_model.name,
            before_generation=live.generation,
            after_generation=kept.generation,
            at_position=kept.position,
        )

    while True:
        done = _insisting(attempt, INSIST_S)
        if isinstance(done, Shown):
            return done
        patience -= 1
        if not patience or done.why == "kept_has_stopped":
            raise done
        time.sleep(PAUSE_S)


def drop_kept(conninfo: str, read_model: ReadModel) -> tuple[int, ...]:
    """Drop what is kept for the way back; which generations those were.

    Raises:
        NoWayBack: nothing is kept.
        NotPossible: somebody reads it for long; what feeds it was not kept waiting for that.
    """

    def attempt() -> tuple[int, ...]:
        with psycopg.connect(conninfo) as connection:
            connection.execute(DROP_TIMEOUT)
            parameters = {"read_model": read_model.name, "but": 0}
            dropped = connection.execute(DROP_KEPT, parameters).fetchall()
            if not dropped:
                live = live_of(connection, read_model).generation
                raise NoWayBack(read_model.name, "nothing_kept", live=live)
            for (number,) in dropped:
                drop_schema(connection, schema_of(read_model.name, number))
        return tuple(number for (number,) in dropped)

    try:
        return _insisting(attempt, INSIST_TO_DROP_S)
    except psycopg.errors.LockNotAvailable as error:
        raise NotPossible(read_model.name, "kept_is_read") from error


def _insisting(attempt: Callable[[], T], within_s: float) -> T:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            return attempt()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            continue
    return attempt()
