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
NO_TIMEOUT: Final = "SET statement_timeout = 0"  # an index over a long history takes its time
DROP_SCHEMA: Final = sql.SQL("DROP SCHEMA IF EXISTS {schema} CASCADE")
ANALYZE: Final = sql.SQL("ANALYZE {table}")
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
        for table in read_model.tables:
            if not table.append_only:  # rows are looked up and changed while history is long
                connection.execute(
                    ADD_KEY.format(
                        name=sql.Identifier(f"{BUILDING_KEY}_{table.name}"),
                        table=sql.Identifier(generation.schema, table.name),
                        key=sql.SQL(", ").join(map(sql.Identifier, table.key)),
                    )
                )
    return Opened(generation)


def make_indexes(conninfo: str, generation: Generation) -> None:
    """Give the filled tables their own indexes; all of them, or none."""
    model, schema = generation.read_model, generation.schema
    with psycopg.connect(conninfo) as connection:
        connection.execute(NO_TIMEOUT)
        for table in model.tables:
            key = sql.Identifier(schema, f"{BUILDING_KEY}_{table.name}")
            connection.execute(DROP_KEY.format(name=key))
        run_in_schema(connection, schema, ddl_parts(model)[1])
        for name in model.relations:
            connection.execute(ANALYZE.format(table=sql.Identifier(schema, name)))
        note_indexed(connection, model.name, True)


def discard(conninfo: str, read_model: ReadModel) -> tuple[int, ...]:
    """Throw away what is being built; a generation that was switched to stays."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(ONE_AT_A_TIME)
        return _discard(connection, read_model)


def drop_schema(connection: psycopg.Connection[Any], schema: str) -> None:
    """Drop a generation's tables."""
    connection.execute(DROP_SCHEMA.format(schema=sql.Identifier(schema)))


def _discard(connection: psycopg.Connection[Any], read_model: ReadModel) -> tuple[int, ...]:
    left = connection.execute(LEFTOVERS, {"read_model": read_model.name}).fetchall()
    for (number,) in left:
        drop_schema(connection, schema_of(read_model.name, number))
    return tuple(number for (number,) in left)
