"""What is known of a rebuild outside of the process that does it: its step, its pace, wishes.

One row a read model, since it is rebuilt once at a time. Wishes of operators are obeyed at the
end of a chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

import psycopg
from msgspec import Struct
from psycopg.rows import class_row

from projections.fingerprint import fingerprint
from projections.projector import Generation

Wish = Literal["pause", "cancel"]
Switching = Literal["auto", "manual"]
Step = Literal[
    "asked",
    "folding",
    "indexing",
    "comparing",
    "switching",
    "ready",
    "differs",
    "paused",
    "switched",
    "cancelled",
    "failed",
]
AT_WORK: Final[frozenset[Step]] = frozenset({"folding", "indexing", "comparing", "switching"})

# the lock of ``projections.exclusive``, which ends with the process that is at work
HELD: Final = """
    EXISTS (SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND classid::bigint = hashtext('owl_read.rebuild')::bigint & 4294967295
            AND objid::bigint = hashtext(job.read_model)::bigint & 4294967295)
"""
ASK: Final = """
    INSERT INTO owl_read.rebuilds AS job
        (read_model, generation, step, switching, max_load, workers, ordered, began_from, upto)
    VALUES (%(read_model)s, 0, 'asked', %(switching)s, %(max_load)s, %(workers)s, true, 0, 0)
    ON CONFLICT (read_model) DO UPDATE
    SET step = 'asked', wish = NULL, ordered = true, switching = EXCLUDED.switching,
        max_load = EXCLUDED.max_load, workers = EXCLUDED.workers, updated_at = now(),
        error = NULL
    WHERE job.step NOT IN ('folding', 'indexing', 'comparing', 'switching') OR NOT {held}
    RETURNING read_model
""".replace("{held}", HELD)
BEGIN: Final = """
    INSERT INTO owl_read.rebuilds AS job
        (read_model, generation, fingerprint, step, switching, max_load, workers, began_from,
        upto)
    VALUES (%(read_model)s, %(generation)s, %(fingerprint)s, 'folding', %(switching)s,
        %(max_load)s, %(workers)s, %(began_from)s, %(upto)s)
    ON CONFLICT (read_model) DO UPDATE
    SET generation = EXCLUDED.generation, fingerprint = EXCLUDED.fingerprint,
        step = EXCLUDED.step, wish = NULL, ordered = job.step = 'asked',
        switching = EXCLUDED.switching, max_load = EXCLUDED.max_load,
        workers = EXCLUDED.workers,
        began_from = EXCLUDED.began_from, upto = EXCLUDED.upto,
        began_at = now(), updated_at = now(), error = NULL
"""
INDEXED: Final = """
    UPDATE owl_read.rebuilds SET indexed = %(indexed)s WHERE read_model = %(read_model)s
"""
CHUNK: Final = """
    UPDATE owl_read.rebuilds SET updated_at = now()
    WHERE read_model = ANY(%(read_models)s) RETURNING read_model, wish
"""
STEP: Final = """
    UPDATE owl_read.rebuilds SET step = %(step)s, error = %(error)s, updated_at = now(),
        wish = CASE WHEN %(step)s IN ('folding', 'indexing', 'comparing', 'switching')
            THEN wish END
    WHERE read_model = %(read_model)s
"""
WISH: Final = """
    UPDATE owl_read.rebuilds AS job SET wish = %(wish)s
    WHERE read_model = %(read_model)s AND step IN ('folding', 'indexing') AND {held}
    RETURNING read_model
""".replace("{held}", HELD)
JOBS: Final = """
    SELECT job.read_model, job.generation, job.fingerprint, step, wish, switching,
        max_load, workers, indexed, ordered, began_from,
        coalesce(position, 0) AS position, upto, began_at, job.updated_at, job.error,
        extract(epoch FROM job.updated_at - began_at)::float8 AS worked_s,
        {held} AS held
    FROM owl_read.rebuilds AS job
    LEFT JOIN owl_read.checkpoints USING (read_model, generation)
    ORDER BY job.read_model
""".replace("{held}", HELD)
NOT_AWAITED: Final = "SET LOCAL synchronous_commit = off"
ERROR_KEPT = 2_000
SETTLED_S: Final = 4.0
"""Two chunks are written by then: of the first alone a pace would be too low by far."""


class Job(Struct, frozen=True, kw_only=True):
    """The last rebuild of a read model, or the one that is at work."""

    read_model: str
    generation: int
    fingerprint: str
    step: Step
    wish: Wish | None
    switching: Switching
    max_load: float
    workers: int
    indexed: bool
    ordered: bool
    began_from: int
    position: int
    upto: int
    began_at: datetime
    updated_at: datetime
    error: str | None
    worked_s: float
    held: bool

    @property
    def interrupted(self) -> bool:
        """Whether its process died: ``rebuild`` or ``resume`` goes on where it was."""
        return self.step in AT_WORK and not self.held

    @property
    def percent(self) -> float:
        """How much of the history has been folded, 0-100."""
        return 100.0 * min(self.position, self.upto) / self.upto if self.upto else 100.0

    @property
    def events_per_s(self) -> float:
        """The pace since the process that is at work took it up."""
        return (self.position - self.began_from) / self.worked_s if self.worked_s else 0.0

    @property
    def eta_s(self) -> float | None:
        """What is left at this pace; ``None`` where nothing is at work, or not for long."""
        if self.step != "folding" or self.interrupted or not self.events_per_s:
            return None
        if self.worked_s < SETTLED_S:
            return None
        return max(0, self.upto - self.position) / self.events_per_s


def read_jobs(connection: psycopg.Connection[Any]) -> dict[str, Job]:
    """By read model."""
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        return {job.read_model: job for job in cursor.execute(JOBS).fetchall()}


def ask(
    connection: psycopg.Connection[Any],
    read_model: str,
    *,
    switching: Switching,
    max_load: float,
    workers: int = 1,
) -> bool:
    """Leave it to the leading worker to rebuild; whether nobody is at it already.

    A worker that dies of it leaves it to the next one.
    """
    about: dict[str, Any] = {"read_model": read_model, "switching": switching}
    about |= {"max_load": max_load, "workers": workers}
    return connection.execute(ASK, about).fetchone() is not None


def note_begun(
    connection: psycopg.Connection[Any],
    generation: Generation,
    *,
    upto: int,
    switching: Switching,
    max_load: float,
    workers: int = 1,
) -> None:
    """This process takes it up."""
    connection.execute(
        BEGIN,
        {
            "read_model": generation.read_model.name,
            "generation": generation.generation,
            "fingerprint": fingerprint(generation.read_model),
            "switching": switching,
            "max_load": max_load,
            "workers": workers,
            "began_from": generation.position,
            "upto": upto,
        },
    )


def note_chunk(
    connection: psycopg.Connection[Any], reached: Mapping[Generation, int]
) -> dict[str, Wish]:
    """It is alive; what operators wish, by read model."""
    names = [generation.read_model.name for generation in reached]
    rows = connection.execute(CHUNK, {"read_models": names}).fetchall()
    return {name: wish for name, wish in rows if wish is not None}


def note_indexed(
    connection: psycopg.Connection[Any],
    read_model: str,
    indexed: bool,  # noqa: FBT001 - the value itself, no flag
) -> None:
    """In the transaction that makes the indexes, or the tables without."""
    about = {"read_model": read_model, "indexed": indexed}
    connection.execute(INDEXED, about)


class StepNotes:
    """Notes the steps of one rebuild, all by one connection, made when it is wanted."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.Connection[Any] | None = None

    def add(self, read_model: str, step: Step, error: str | None) -> None:
        """As ``note_step``; of what is under way a crash may lose the newest."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._conninfo, autocommit=True)
        with self._connection.transaction():
            if step in AT_WORK:
                self._connection.execute(NOT_AWAITED)
            note_step(self._connection, read_model, step, error)

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()


def note_step(
    connection: psycopg.Connection[Any], read_model: str, step: Step, error: str | None = None
) -> None:
    """It has come to another step."""
    kept = None if error is None else error[:ERROR_KEPT]
    connection.execute(STEP, {"read_model": read_model, "step": step, "error": kept})


def wish_for(connection: psycopg.Connection[Any], read_model: str, wish: Wish) -> bool:
    """Ask whoever is at work; whether there is something that could be asked."""
    row = connection.execute(WISH, {"read_model": read_model, "wish": wish}).fetchone()
    return row is not None
