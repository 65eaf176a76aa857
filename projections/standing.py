"""How far each read model is and what is being built of it, as the API tells operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any, Final, Literal

import psycopg
from msgspec import Struct
from psycopg.rows import class_row

from projections.catalogue import READ_MODELS
from projections.fingerprint import fingerprints
from projections.jobs import JOBS, Job, Step, Switching
from projections.read_model import Source
from projections.status import (
    CHECKPOINTS,
    LIVE_SIZES,
    Checkpoint,
    Condition,
    condition_of,
    estimate_s,
)
from projections.verified import LAST, LastComparison, Verified, last_comparisons

HEADS: Final = """
    SELECT (SELECT coalesce(max(notification_id), 0) FROM owl_log.events),
        (SELECT coalesce(max(notification_id), 0) FROM owl_log.telemetry)
"""
ALONE: Final = """
    SELECT max(generation) FROM owl_read.checkpoints WHERE read_model = %(read_model)s
    HAVING bool_and(state = 'live')
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
    workers: int
    error: str | None
    began_at: datetime
    updated_at: datetime


class ComparisonStanding(Struct, frozen=True, kw_only=True):
    """How the last comparison of two of its generations ended."""

    live_generation: int
    other_generation: int
    at_position: int
    checksum: str
    tables_that_differ: tuple[str, ...]
    rows_that_differ: int | None
    told: str
    compared_at: datetime


class ReadModelStanding(Struct, frozen=True, kw_only=True):
    """A read model."""

    read_model: str
    source: Source
    generations: tuple[GenerationStanding, ...]
    rebuild: RebuildStanding | None
    comparison: ComparisonStanding | None


class RebuildPlan(Struct, frozen=True, kw_only=True):
    """What a rebuild would do; ``seconds`` at the pace of the last one, if there was one."""

    read_model: str
    live_fingerprint: str
    this_fingerprint: str
    changed: bool
    events: int
    disk_bytes: int
    seconds: float | None


Telling = Callable[[Verified], str]
"""The sentence for what was found."""


async def standings(
    connection: psycopg.AsyncConnection[Any], tell: Telling
) -> tuple[ReadModelStanding, ...]:
    """Every read model that has rows."""
    checkpoints, jobs, heads = await _found(connection)
    compared = last_comparisons(await (await connection.execute(LAST)).fetchall())
    return tuple(_standings(checkpoints, jobs, heads, compared, tell))


async def plan_of(
    connection: psycopg.AsyncConnection[Any], read_model: str
) -> RebuildPlan | None:
    """What a rebuild of it would do, by this program's folds."""
    checkpoints, jobs, heads = await _found(connection)
    sizes = dict(await (await connection.execute(LIVE_SIZES)).fetchall())
    prints = fingerprints(READ_MODELS)
    for each in checkpoints:
        if (each.read_model, each.state) == (read_model, "live") and read_model in prints:
            return RebuildPlan(
                read_model=read_model,
                live_fingerprint=each.fingerprint,
                this_fingerprint=prints[read_model],
                changed=each.fingerprint != prints[read_model],
                events=heads[each.source],
                disk_bytes=sizes.get(read_model, 0),
                seconds=estimate_s(jobs.get(read_model), heads[each.source]),
            )
    return None


async def alone_of(connection: psycopg.AsyncConnection[Any], read_model: str) -> int | None:
    """The live generation, if nothing stands beside it."""
    cursor = await connection.execute(ALONE, {"read_model": read_model})
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def _found(
    connection: psycopg.AsyncConnection[Any],
) -> tuple[list[Checkpoint], dict[str, Job], dict[Source, int]]:
    async with connection.cursor(row_factory=class_row(Checkpoint)) as cursor:
        checkpoints = await (await cursor.execute(CHECKPOINTS)).fetchall()
    async with connection.cursor(row_factory=class_row(Job)) as cursor:
        jobs = {job.read_model: job for job in await (await cursor.execute(JOBS)).fetchall()}
    row = await (await connection.execute(HEADS)).fetchone()
    assert row is not None, "an aggregate gives one row"
    return checkpoints, jobs, {"business": row[0], "telemetry": row[1]}


def _standings(
    checkpoints: list[Checkpoint],
    jobs: dict[str, Job],
    heads: Mapping[Source, int],
    compared: Mapping[str, LastComparison],
    tell: Telling,
) -> Iterator[ReadModelStanding]:
    prints = fingerprints(READ_MODELS)
    for name, group in groupby(checkpoints, key=lambda each: each.read_model):
        mine = list(group)
        job, last = jobs.get(name), compared.get(name)
        yield ReadModelStanding(
            read_model=name,
            source=mine[0].source,
            generations=tuple(
                _generation(each, heads[each.source], prints.get(name)) for each in mine
            ),
            rebuild=None if job is None else _rebuild(job),
            comparison=None if last is None else _comparison(last, tell),
        )


def _comparison(last: LastComparison, tell: Telling) -> ComparisonStanding:
    found = last.found
    return ComparisonStanding(
        live_generation=found.live_generation,
        other_generation=found.other_generation,
        at_position=found.at_position,
        checksum=found.checksum,
        tables_that_differ=tuple(found.differing),
        rows_that_differ=found.rows_that_differ,
        told=tell(found),
        compared_at=last.compared_at,
    )


def _generation(checkpoint: Checkpoint, head: int, current: str | None) -> GenerationStanding:
    return GenerationStanding(
        generation=checkpoint.generation,
        fingerprint=checkpoint.fingerprint,
        state=checkpoint.state,
        condition=condition_of(checkpoint, head, current),
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
        workers=job.workers,
        error=job.error,
        began_at=job.began_at,
        updated_at=job.updated_at,
    )
