"""The tables of a generation that is being built: made, taken up again, indexed, dropped."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from msgspec import Struct
from psycopg import sql

from projections.fingerprint import fingerprint
from projections.jobs import note_indexed, read_jobs
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
# An index over a long history takes its time. Two read models are indexed at once, so a table
# that is soon sorted is not worth the start of parallel workers.
SESSION: Final = """
    SET statement_timeout = 0;
    SET min_parallel_table_scan_size = '256MB'
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


def open_building(conninfo: str, read_model: ReadModel) -> Opened:
    """The generation that an interrupted rebuild left, or a new one without indexes.

    What was left by other folds, or was finished and never switched to, is thrown away.
    """
    names = {"read_model": read_model.name, "fingerprint": fingerprint(read_model)}
    with psycopg.connect(conninfo) as connection:
        connection.execute(ONE_AT_A_TIME)
        left = connection.execute(UNFINISHED, names).fetchone()
        job = read_jobs(connection).get(read_model.name)
        if left is not None and job is not None and job.step not in {"ready", "differs"}:
            generation = Generation(read_model, left[0], "building", left[1])
            return Opened(generation, indexed=job.indexed)
        _discard(connection, read_model)
        row = connection.execute(NEXT, names).fetchone()
        assert row is not None, "an aggregate gives one row"
        generation = Generation(read_model, int(row[0]), "building", 0)
        add_generation(connection, read_model, generation.generation, "building")
        note_indexed(connection, read_model.name, False)
        run_in_schema(connection, generation.schema, ddl_parts(read_model)[0])
        add_building_keys(connection, generation)
    return Opened(generation)


def add_building_keys(connection: psycopg.Connection[Any], generation: Generation) -> None:
    """A key meanwhile for tables whose rows are looked up while history is long."""
    for table in generation.read_model.tables:
        if not table.append_only:
            connection.execute(
                ADD_KEY.format(
                    name=sql.Identifier(f"{BUILDING_KEY}_{table.name}"),
                    table=sql.Identifier(generation.schema, table.name),
                    key=sql.SQL(", ").join(map(sql.Identifier, table.key)),
                )
            )


def make_indexes(conninfo: str, generation: Generation) -> None:
    """Give the filled tables their own indexes; all of them, or none."""
    model, schema = generation.read_model, generation.schema
    with psycopg.connect(conninfo) as connection:
        connection.execute(SESSION)
        for table in model.tables:
            key = sql.Identifier(schema, f"{BUILDING_KEY}_{table.name}")
            connection.execute(DROP_KEY.format(name=key))
        run_in_schema(connection, schema, ddl_parts(model)[1])
        for name in model.relations:
            _analyze(connection, sql.Identifier(schema, name))
        if generation.has_checkpoint:
            note_indexed(connection, model.name, True)


def discard(conninfo: str, read_model: ReadModel) -> tuple[int, ...]:
    """Throw away what is being built; a generation that was switched to stays."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(ONE_AT_A_TIME)
        return _discard(connection, read_model)


def drop_schema(connection: psycopg.Connection[Any], schema: str) -> None:
    """Drop a generation's tables."""
    connection.execute(DROP_SCHEMA.format(schema=sql.Identifier(schema)))


def _analyze(connection: psycopg.Connection[Any], table: sql.Identifier) -> None:
    found = connection.execute(INDEXED, {"table": table.as_string()}).fetchall()
    columns = sql.SQL(", ").join(sql.Identifier(name) for (name,) in found)
    connection.execute(ANALYZE.format(table=table, columns=columns))


def _discard(connection: psycopg.Connection[Any], read_model: ReadModel) -> tuple[int, ...]:
    left = connection.execute(LEFTOVERS, {"read_model": read_model.name}).fetchall()
    for (number,) in left:
        drop_schema(connection, schema_of(read_model.name, number))
    return tuple(number for (number,) in left)
