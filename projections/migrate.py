"""Makes the schema ``owl_read``, and the first generation of each read model that has none.

Read models have no migrations: another fold or another column is another generation, built
beside the live one by ``rebuild``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from projections.catalogue import READ_MODELS
from projections.fingerprint import fingerprint
from projections.read_model import ReadModel
from projections.statements import ddl_parts, schema_of

_CHECKPOINTS: Final = Path(__file__).with_name("checkpoints.sql")

ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtext('owl_read'))"
LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '3s'"
LIVE: Final = """
    SELECT read_model, fingerprint FROM owl_read.checkpoints WHERE state = 'live'
"""
ADD_GENERATION: Final = """
    INSERT INTO owl_read.checkpoints
        (read_model, generation, source, fingerprint, state, position)
    VALUES (%(read_model)s, %(generation)s, %(source)s, %(fingerprint)s, %(state)s, 0)
"""
SET_SCHEMA: Final = "SELECT set_config('search_path', %(schema)s, true)"
CREATE_SCHEMA: Final = sql.SQL("CREATE SCHEMA {schema}")
DROP_VIEW: Final = sql.SQL("DROP VIEW IF EXISTS read.{relation}")
CREATE_VIEW: Final = sql.SQL("CREATE VIEW read.{relation} AS SELECT * FROM {table}")


def prepare(conninfo: str, read_models: Sequence[ReadModel] = READ_MODELS) -> tuple[str, ...]:
    """Make what is missing; running it again, or twice at once, changes nothing.

    Returns:
        The read models whose live generation was made by other folds or tables than this
        program's: they stand still until they are rebuilt.

    Raises:
        psycopg.errors.LockNotAvailable: another process makes or drops tables for long.
    """
    with psycopg.connect(conninfo) as connection:
        connection.execute(LOCK_TIMEOUT)
        connection.execute(ONE_AT_A_TIME)
        run_script(connection, _CHECKPOINTS.read_text(encoding="utf-8"))
        live: dict[str, str] = dict(connection.execute(LIVE).fetchall())
        for read_model in read_models:
            if read_model.name not in live:
                add_generation(connection, read_model, 1, "live")
                before, after = ddl_parts(read_model)
                run_in_schema(connection, schema_of(read_model.name, 1), before + after)
                point_views(connection, read_model, 1)
    return tuple(
        read_model.name
        for read_model in read_models
        if live.get(read_model.name, fingerprint(read_model)) != fingerprint(read_model)
    )


def add_generation(
    connection: psycopg.Connection[Any], read_model: ReadModel, generation: int, state: str
) -> None:
    """A checkpoint at position 0 and an empty schema."""
    connection.execute(
        ADD_GENERATION,
        {
            "read_model": read_model.name,
            "generation": generation,
            "source": read_model.source,
            "fingerprint": fingerprint(read_model),
            "state": state,
        },
    )
    schema = sql.Identifier(schema_of(read_model.name, generation))
    connection.execute(CREATE_SCHEMA.format(schema=schema))


def point_views(
    connection: psycopg.Connection[Any], read_model: ReadModel, generation: int
) -> None:
    """Let queries see this generation, from the commit of this transaction on."""
    schema = schema_of(read_model.name, generation)
    for name in read_model.relations:
        relation = sql.Identifier(name)
        connection.execute(DROP_VIEW.format(relation=relation))
        connection.execute(
            CREATE_VIEW.format(relation=relation, table=sql.Identifier(schema, name))
        )


def run_in_schema(connection: psycopg.Connection[Any], schema: str, script: str) -> None:
    """Run DDL whose names are of ``schema``."""
    connection.execute(SET_SCHEMA, {"schema": schema})
    run_script(connection, script)
    connection.execute(SET_SCHEMA, {"schema": "public"})


def run_script(connection: psycopg.Connection[Any], script: str) -> None:
    """Run a file of ours that holds several statements."""
    connection.execute(script)
