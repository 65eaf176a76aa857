"""How far each read model is, and what stopped the one that stands: for operators."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, Literal

import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.rows import class_row

from projections.catalogue import READ_MODELS
from projections.feeders import FED
from projections.fingerprint import fingerprints
from projections.jobs import Job, read_jobs
from projections.read_model import Source
from projections.statements import schema_of
from projections.verified import LAST, LastComparison, last_comparisons

Condition = Literal["following", "stopped", "outdated", "unfed", "building"]
"""``outdated``: made by other folds than this program's, so it stands until it is rebuilt.
``unfed``: made by this program's, but no worker that runs has them, and it lags."""

UNFED_AFTER_S: Final = 5.0
"""A worker that has just been started anew is no matter."""
CHECKPOINTS: Final = """
    SELECT read_model, generation, source, fingerprint, state, position, stopped_at, error,
        updated_at, extract(epoch FROM now() - updated_at)::float8 AS still_s, {fed} AS fed
    FROM owl_read.checkpoints AS made ORDER BY source, read_model, generation
""".replace("{fed}", FED)
SIZES: Final = """
    SELECT relnamespace::regnamespace::text, relname::text, greatest(reltuples, 0)::bigint,
        pg_relation_size(oid) <= %(counted)s, pg_total_relation_size(oid)
    FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text LIKE 'rm\\_%%'
"""
COUNT: Final = sql.SQL("SELECT count(*) FROM {table} {where}")
TALLIES: Final = {tally.name for model in READ_MODELS for tally in model.tallies}
LIVE_SIZES: Final = """
    SELECT read_model, coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint
    FROM owl_read.checkpoints LEFT JOIN pg_class ON relkind = 'r'
        AND relnamespace = to_regnamespace(format('rm_%s_g%s', read_model, generation))
    WHERE state = 'live' GROUP BY read_model
"""
COUNTED_BYTES: Final = 8 * 2**20
"""A table up to this size is counted; of a larger one the planner's estimate is told."""


class Checkpoint(Struct, frozen=True, kw_only=True):
    """One row of ``owl_read.checkpoints``; ``fed`` if a worker runs that has its folds."""

    read_model: str
    generation: int
    source: Source
    fingerprint: str
    state: Literal["building", "live", "kept"]
    position: int
    stopped_at: int | None
    error: str | None
    updated_at: datetime
    still_s: float
    fed: bool


class ReadModelStatus(Struct, frozen=True, kw_only=True):
    """One generation. ``lag_events`` is the way to the head of its log.

    ``lag_s`` is for how long it has not moved though there was something to do;
    ``is_current`` whether this program's folds made it; ``job`` what its read model's last
    rebuild is at, ``compared`` how its last comparison ended. ``rows`` are those of all its
    tables, ``rows_are_exact`` where they are counted and not the planner's estimate;
    ``size_bytes`` includes indexes.
    """

    read_model: str
    generation: int
    source: Source
    fingerprint: str
    is_current: bool
    state: Literal["building", "live", "kept"]
    condition: Condition
    position: int
    lag_events: int
    lag_s: float
    stopped_at: int | None
    error: str | None
    rows: int
    rows_are_exact: bool
    size_bytes: int
    updated_at: datetime
    job: Job | None
    compared: LastComparison | None


def read_statuses(conninfo: str, heads: Mapping[Source, int]) -> tuple[ReadModelStatus, ...]:
    """Every generation there is, against the heads of the two logs."""
    with psycopg.connect(conninfo) as connection:
        with connection.cursor(row_factory=class_row(Checkpoint)) as cursor:
            checkpoints = cursor.execute(CHECKPOINTS).fetchall()
        sizes = _sizes(connection)
        jobs = read_jobs(connection)
        compared = last_comparisons(connection.execute(LAST).fetchall())
    prints = fingerprints(READ_MODELS)
    return tuple(
        _status(
            each,
            heads[each.source],
            sizes,
            current=prints.get(each.read_model),
            job=jobs.get(each.read_model),
            compared=compared.get(each.read_model),
        )
        for each in checkpoints
    )


def live_sizes(conninfo: str) -> dict[str, int]:
    """Of each read model's live tables, with their indexes, in bytes."""
    with psycopg.connect(conninfo) as connection:
        return dict(connection.execute(LIVE_SIZES).fetchall())


class _Size(Struct):
    rows: int = 0
    is_exact: bool = True
    size_bytes: int = 0


def _sizes(connection: psycopg.Connection[Any]) -> dict[str, _Size]:
    sizes: defaultdict[str, _Size] = defaultdict(_Size)
    found = connection.execute(SIZES, {"counted": COUNTED_BYTES}).fetchall()
    for schema, table, estimate, is_small, size_bytes in found:
        size = sizes[schema]
        size.size_bytes += size_bytes
        if is_small:
            # 0 says the same as no row, so that equal generations have as many rows
            where = sql.SQL("WHERE n <> 0" if table in TALLIES else "")
            statement = COUNT.format(table=sql.Identifier(schema, table), where=where)
            # one that is dropped meanwhile has none
            with suppress(psycopg.errors.UndefinedTable), connection.transaction():
                size.rows += connection.execute(statement).fetchall()[0][0]
        else:
            size.rows += estimate
            size.is_exact = False
    return sizes


def _status(
    checkpoint: Checkpoint,
    head: int,
    sizes: Mapping[str, _Size],
    *,
    current: str | None,
    job: Job | None,
    compared: LastComparison | None,
) -> ReadModelStatus:
    schema = schema_of(checkpoint.read_model, checkpoint.generation)
    size = sizes.get(schema, _Size())
    return ReadModelStatus(
        read_model=checkpoint.read_model,
        generation=checkpoint.generation,
        source=checkpoint.source,
        fingerprint=checkpoint.fingerprint,
        is_current=checkpoint.fingerprint == current,
        state=checkpoint.state,
        condition=condition_of(checkpoint, head, current),
        position=checkpoint.position,
        lag_events=max(0, head - checkpoint.position),
        lag_s=checkpoint.still_s if head > checkpoint.position else 0.0,
        stopped_at=checkpoint.stopped_at,
        error=checkpoint.error,
        rows=size.rows,
        rows_are_exact=size.is_exact,
        size_bytes=size.size_bytes,
        updated_at=checkpoint.updated_at,
        job=job,
        compared=compared,
    )


def estimate_s(job: Job | None, events: int) -> float | None:
    """How long a rebuild takes, at the pace of the last one."""
    return events / job.events_per_s if job is not None and job.events_per_s > 0 else None


def condition_of(checkpoint: Checkpoint, head: int, current: str | None) -> Condition:
    """How one generation fares, by this program's fingerprint of its read model."""
    if checkpoint.state == "building":
        return "building"
    if checkpoint.stopped_at is not None:
        return "stopped"
    if checkpoint.fingerprint != current:
        return "outdated"
    lags = checkpoint.position < head and checkpoint.still_s > UNFED_AFTER_S
    return "unfed" if lags and not checkpoint.fed else "following"
