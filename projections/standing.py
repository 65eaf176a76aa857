"""How far each read model is and what is being built of it, as the API tells operators."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import Any, Final, Literal

import psycopg
from msgspec import Struct
from psycopg.rows import class_row

from projections.catalogue import READ_MODELS
from projections.fingerprint import fingerprint
from projections.jobs import JOBS, Job, Step, Switching
from projections.read_model import Source
from projections.status import CHECKPOINTS, Checkpoint, Condition, condition_of

HEADS: Final = """
    SELECT (SELECT coalesce(max(notification_id), 0) FROM owl_log.events),
        (SELECT coalesce(max(notification_id), 0) FROM owl_log.telemetry)
"""


class GenerationStanding(Struct, frozen=True, kw_only=True):
    """One generation of a read model's tables."""

    generation: int
    fingerprint: str
    state: Literal["building", "live", "kept"]
    condition: Condition
    position: int
    lag_events: int
    stopped_at: int | None
    error: str | None


class RebuildStanding(Struct, frozen=True, kw_only=True):
    """The last rebuild of a read model, or the one that is at work."""

    generation: int
    step: Step
    is_interrupted: bool
    percent: float
    position: int
    upto: int
    events_per_s: float
    eta_s: float | None
    switching: Switching
    max_load: float
    error: str | None
    began_at: datetime
    updated_at: datetime


class ReadModelStanding(Struct, frozen=True, kw_only=True):
    """A read model."""

    read_model: str
    source: Source
    generations: tuple[GenerationStanding, ...]
    rebuild: RebuildStanding | None


async def standings(
    connection: psycopg.AsyncConnection[Any],
) -> tuple[ReadModelStanding, ...]:
    """Every read model that has rows."""
    async with connection.cursor(row_factory=class_row(Checkpoint)) as cursor:
        checkpoints = await (await cursor.execute(CHECKPOINTS)).fetchall()
    async with connection.cursor(row_factory=class_row(Job)) as cursor:
        jobs = {job.read_model: job for job in await (await cursor.execute(JOBS)).fetchall()}
    row = await (await connection.execute(HEADS)).fetchone()
    assert row is not None, "an aggregate gives one row"
    heads: dict[Source, int] = {"business": row[0], "telemetry": row[1]}
    return tuple(_standings(checkpoints, jobs, heads))


def _standings(
    checkpoints: list[Checkpoint], jobs: dict[str, Job], heads: dict[Source, int]
) -> Iterator[ReadModelStanding]:
    prints = {model.name: fingerprint(model) for model in READ_MODELS}
    for name, group in groupby(checkpoints, key=lambda each: each.read_model):
        mine = list(group)
        job = jobs.get(name)
        yield ReadModelStanding(
            read_model=name,
            source=mine[0].source,
            generations=tuple(
                _generation(each, heads[each.source], prints.get(name)) for each in mine
            ),
            rebuild=None if job is None else _rebuild(job),
        )


def _generation(checkpoint: Checkpoint, head: int, current: str | None) -> GenerationStanding:
    return GenerationStanding(
        generation=checkpoint.generation,
        fingerprint=checkpoint.fingerprint,
        state=checkpoint.state,
        condition=condition_of(checkpoint, current),
        position=checkpoint.position,
        lag_events=max(0, head - checkpoint.position),
        stopped_at=checkpoint.stopped_at,
        error=checkpoint.error,
    )


def _rebuild(job: Job) -> RebuildStanding:
    return RebuildStanding(
        generation=job.generation,
        step=job.step,
        is_interrupted=job.interrupted,
        percent=job.percent,
        position=job.position,
        upto=job.upto,
        events_per_s=job.events_per_s,
        eta_s=job.eta_s,
        switching=job.switching,
        max_load=job.max_load,
        error=job.error,
        began_at=job.began_at,
        updated_at=job.updated_at,
    )
