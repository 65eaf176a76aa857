"""What stands beside the live generation: built, being built, kept; or why nothing does."""

from __future__ import annotations

from typing import Any, Final, Literal

import psycopg
from msgspec import Struct
from psycopg.rows import class_row

from projections.fingerprint import fingerprint
from projections.jobs import read_jobs
from projections.not_possible import NotPossible
from projections.read_model import ReadModel

BESIDE: Final = """
    SELECT generation, fingerprint, state, position, stopped_at IS NOT NULL AS stopped
    FROM owl_read.checkpoints WHERE read_model = %(read_model)s AND state <> 'live'
    ORDER BY generation DESC
"""


class Beside(Struct, frozen=True, kw_only=True):
    """A generation that queries do not see."""

    generation: int
    fingerprint: str
    state: Literal["building", "kept"]
    position: int
    stopped: bool


class NothingBeside(NotPossible):
    """There is no other generation to compare with, or to show."""


def beside(connection: psycopg.Connection[Any], read_model: ReadModel) -> list[Beside]:
    """The newest first."""
    with connection.cursor(row_factory=class_row(Beside)) as cursor:
        return cursor.execute(BESIDE, {"read_model": read_model.name}).fetchall()


def newest_kept(connection: psycopg.Connection[Any], read_model: ReadModel) -> Beside | None:
    """What the way back leads to."""
    found = beside(connection, read_model)
    return next((each for each in found if each.state == "kept"), None)


def why_nothing(
    connection: psycopg.Connection[Any], read_model: ReadModel, *, live: int
) -> NothingBeside:
    """Why there is nothing built that waits; what there is instead."""
    name = read_model.name
    for each in beside(connection, read_model):
        if each.state == "building" and each.fingerprint != fingerprint(read_model):
            return NothingBeside(name, "built_by_other_folds", other=each.generation)
        if each.state == "building":
            job = read_jobs(connection).get(name)
            percent = 0 if job is None else int(job.percent)
            about = {"other": each.generation, "percent": percent}
            return NothingBeside(name, "not_built_to_its_end", **about)
        return NothingBeside(name, "shown_already", live=live, kept=each.generation)
    return NothingBeside(name, "nothing_built", live=live)
