"""The tables of a generation that is being built: made, taken up again, indexed, dropped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

import psycopg
from msgspec import Struct
from psycopg import sql

from projections.fingerprint import fingerprint
from projections.jobs import Job, note_indexed, read_jobs
from projections.migrate import ONE_AT_A_TIME, add_generation, run_in_schema
from projections.projector import Generation
from projections.read_model import ReadModel
from projections.statements import ddl_parts, schema_of

NEXT: Final = """
    SELECT coalesce(max(generation), 0) + 1 FROM owl_read.checkpoints
    WHERE read_model = %(read_model)s
"""
UNFINISHED: Final = """
    SELECT generation, position FROM owl_read.checkpoints
    WHERE read_model = %(read_model)s AND state = 'building' AND stopped_at IS NULL
        AND fingerprint = %(fingerprint)s
"""
LEFTOVERS: Final = """
    DELETE FROM owl_read.checkpoints
    WHERE read_model = %(read_model)s AND state = 'building' RETURNING generation
"""
INDEXERS: Final = 2
"""Indexes that are made at once at most, also of one table: so many connections, and no workers
of theirs. Beside writers it is one."""
# All is on disk with the next commit that waits for it: the one that shows the rows, or says
# that they are ready.
SESSION: Final = """
    SET statement_timeout = 0;
    SET synchronous_commit = off;
    SET max_parallel_maintenance_workers = 0
"""
SEARCH: Final = sql.SQL("SET search_path = {schema}")
SIZE: Final = """
    SELECT sum(pg_table_size(oid)) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = %(schema)s::regnamespace
"""
# what a try that was interrupted has made of what comes after the rows
HALF_DONE: Final = """
    SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname)
    FROM pg_constraint WHERE contype = 'p' AND conrelid = ANY(%(written_once)s::regclass[])
    UNION ALL
    SELECT format('DROP INDEX %%s', indexrelid::regclass)
    FROM pg_index WHERE indrelid = ANY(%(tables)s::regclass[]) AND NOT indisprimary
"""
DROP_SCHEMA: Final = sql.SQL("DROP SCHEMA IF EXISTS {schema} CASCADE")
# the planner asks about columns that an index is about; of the others, wide JSON above all, a
# sample takes longer than the index, and autovacuum will take it in its own time
INDEXED: Final = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = %(table)s::regclass AND attnum IN (
        SELECT unnest(indkey) FROM pg_index WHERE indrelid = %(table)s::regclass
        UNION
        SELECT refobjsubid FROM pg_depend JOIN pg_index ON indexrelid = objid
        WHERE classid = 'pg_class'::regclass AND refobjid = %(table)s::regclass
            AND indrelid = refobjid
    )
    ORDER BY attnum
"""
ANALYZE: Final = sql.SQL("ANALYZE {table} ({columns})")
BUILDING_KEY: Final = "building_key"
ADD_KEY: Final = sql.SQL("CREATE UNIQUE INDEX {name} ON {table} ({key})")
DROP_KEY: Final = sql.SQL("DROP INDEX IF EXISTS {name}")


class Opened(Struct, frozen=True):
    """A generation to build; ``indexed`` when an earlier try came that far."""

    generation: Generation
    indexed: bool = False


def open_building(conninfo: str, read_models: Iterable[ReadModel]) -> dict[str, Opened]:
    """The generations that an interrupted rebuild left, or new ones without indexes, by name.

    What was left by other folds, or was finished and never switched to, is thrown away.
    """
    with psycopg.connect(conninfo) as connection:
        connection.execute(ONE_AT_A_TIME)
        jobs = read_jobs(connection)
        return {
            model.name: _taken_up(connection, model, jobs.get(model.name))
            or _begun(connection, model)
            for model in read_models
        }


def make_indexes(
    conninfo: str, generations: Sequence[Generation], leave_room: Callable[[], bool]
) -> None:
    """Give the filled tables their own indexes; whoever is interrupted begins anew.

    One at a time from when ``leave_room`` says so.
    """
    with ExitStack() as open_, ThreadPoolExecutor(INDEXERS, "rebuild-indexes") as threads:
        connections = [
            open_.enter_context(psycopg.connect(conninfo, autocommit=True))
            for _ in range(INDEXERS)
        ]
        for each in connections:
            each.execute(SESSION)
        first, *others = connections
        leaving = [lambda: False, *(leave_room for _ in others)]
        for generation in generations:
            _drop_half_done(first, generation)
        sized = {each.schema: (_size(first, each), each) for each in generations}
        largest = [each for _, each in sorted(sized.values(), key=lambda it: -it[0])]
        for steps in (_after_the_rows, partial(_samples, first)):
            left = deque(step for generation in largest for step in steps(generation))
            list(threads.map(partial(_take_turns, left), connections, leaving))
        for generation in generations:
            if generation.has_checkpoint:
                note_indexed(first, generation.read_model.name, True)


def discard(conninfo: str, read_model: ReadModel) -> tuple[int, ...]:
    """Throw away what is being built; a generation that was switched to stays."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(ONE_AT_A_TIME)
        return _discard(connection, read_model)


def drop_schema(connection: psycopg.Connection[Any], schema: str) -> None:
    """Drop a generation's tables."""
    connection.execute(DROP_SCHEMA.format(schema=sql.Identifier(schema)))


def _taken_up(
    connection: psycopg.Connection[Any], read_model: ReadModel, job: Job | None
) -> Opened | None:
    names = {"read_model": read_model.name, "fingerprint": fingerprint(read_model)}
    left = connection.execute(UNFINISHED, names).fetchone()
    if left is None or job is None or job.step in {"ready", "differs"}:
        return None
    return Opened(Generation(read_model, left[0], "building", left[1]), indexed=job.indexed)


def _begun(connection: psycopg.Connection[Any], read_model: ReadModel) -> Opened:
    _discard(connection, read_model)
    row = connection.execute(NEXT, {"read_model": read_model.name}).fetchone()
    assert row is not None, "an aggregate gives one row"
    generation = Generation(read_model, int(row[0]), "building", 0)
    add_generation(connection, read_model, generation.generation, "building")
    note_indexed(connection, read_model.name, False)
    run_in_schema(connection, generation.schema, ddl_parts(read_model)[0])
    return Opened(generation)


def _drop_half_done(connection: psycopg.Connection[Any], generation: Generation) -> None:
    tables = generation.read_model.tables
    names = {
        table.name: sql.Identifier(generation.schema, table.name).as_string()
        for table in tables
    }
    written_once = [names[table.name] for table in tables if table.append_only]
    about = {"tables": list(names.values()), "written_once": written_once}
    for (statement,) in connection.execute(HALF_DONE, about).fetchall():
        connection.execute(statement)


def _size(connection: psycopg.Connection[Any], generation: Generation) -> int:
    row = connection.execute(SIZE, {"schema": generation.schema}).fetchone()
    assert row is not None, "an aggregate gives one row"
    return int(row[0])


def _after_the_rows(generation: Generation) -> list[sql.Composed]:
    search = SEARCH.format(schema=sql.Identifier(generation.schema))
    parts = ddl_parts(generation.read_model)[1].split(";")
    return [sql.SQL("; ").join([search, sql.SQL(part)]) for part in parts if part.strip()]


def _samples(
    connection: psycopg.Connection[Any], generation: Generation
) -> Iterator[sql.Composed]:
    for name in generation.read_model.relations:
        table = sql.Identifier(generation.schema, name)
        found = connection.execute(INDEXED, {"table": table.as_string()}).fetchall()
        columns = sql.SQL(", ").join(sql.Identifier(column) for (column,) in found)
        yield ANALYZE.format(table=table, columns=columns)


def _take_turns(
    left: deque[sql.Composed],
    connection: psycopg.Connection[Any],
    leave: Callable[[], bool],
) -> None:
    while left and not leave():
        try:
            connection.execute(left.popleft())
        except IndexError:
            return  # another has taken the last one
        except BaseException:
            left.clear()
            raise


def _discard(connection: psycopg.Connection[Any], read_model: ReadModel) -> tuple[int, ...]:
    left = connection.execute(LEFTOVERS, {"read_model": read_model.name}).fetchall()
    for (number,) in left:
        drop_schema(connection, schema_of(read_model.name, number))
    return tuple(number for (number,) in left)
