"""Replays read models up to a position into a schema of their own, for somebody's question.

The engine is that of a rebuild; but there is no checkpoint, no job and no switch, and nothing
that is live is read or written. What fails leaves no schema behind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Final

import psycopg
from msgspec import Struct
from psycopg import sql

from domain.ports import EventHistory
from projections.building import Builder
from projections.generations import Opened, drop_schema, make_indexes
from projections.migrate import run_in_schema
from projections.pace import BuildingConfig, Others
from projections.progress import Progress, Telling
from projections.projector import Generation
from projections.read_model import ReadModel
from projections.statements import checksum_statements, ddl_parts

CREATE: Final = sql.SQL("CREATE SCHEMA {schema}")
RESERVED: Final = ("rm_", "owl_", "pg_")
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


class SchemaTaken(Exception):
    """The schema exists already, or its name is one that the platform uses."""


class ReplayFailed(Exception):
    """An event cannot be folded; the message names it. The schema is gone again."""


class Sandbox(Generation):
    """A generation that has a schema of its own, and that nothing else knows of."""

    has_checkpoint = False

    def __init__(self, read_model: ReadModel, schema: str) -> None:
        self._into = schema
        super().__init__(read_model, 0, "building", 0)

    def schema_of(self, read_model: str, generation: int) -> str:
        """The one that was asked for, whatever a rebuild would call it."""
        return self._into


class Replayed(Struct, frozen=True, kw_only=True):
    """What one table holds now; the checksum is that of ``owl projections verify``."""

    read_model: str
    table: str
    rows: int
    checksum: str


def replay(
    conninfo: str,
    history: EventHistory,
    read_models: Sequence[ReadModel],
    *,
    into: str,
    upto: int,
    progress: Callable[[Progress], None] = lambda _: None,
    config: BuildingConfig | None = None,
) -> tuple[Replayed, ...]:
    """Fold the log up to ``upto`` into the new schema ``into``.

    Raises:
        SchemaTaken: there is one of this name; it was not touched.
        ReplayFailed: a fold failed; nothing is left.
    """
    if NAME.fullmatch(into) is None or into.startswith(RESERVED) or into == "read":
        raise SchemaTaken(f"{into!r} is no name for a sandbox: take small letters, digits, _")
    config = config or BuildingConfig()
    generations = [Sandbox(model, into) for model in read_models]
    with psycopg.connect(conninfo) as connection:
        _make(connection, into, generations)
    try:
        telling = Telling(progress)
        telling.begin({each.read_model.name: Opened(each) for each in generations}, upto)
        others = Others(config, history.head)
        _fill(conninfo, history, generations, upto, config, telling)
        telling.step("indexing", upto)
        make_indexes(conninfo, generations, others.leave_room)
        telling.step("done", upto)
        with psycopg.connect(conninfo) as connection:
            return tuple(_counted(connection, into, read_models))
    except BaseException:
        with psycopg.connect(conninfo) as connection:
            drop_schema(connection, into)
        raise


def _make(
    connection: psycopg.Connection[Any], into: str, generations: Sequence[Generation]
) -> None:
    try:
        connection.execute(CREATE.format(schema=sql.Identifier(into)))
    except psycopg.errors.DuplicateSchema as error:
        drop = sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(into)).as_string()
        raise SchemaTaken(
            f"there is a schema {into} already: take another name, or if it is an old sandbox,"
            f" first {drop}"
        ) from error
    for generation in generations:
        run_in_schema(connection, into, ddl_parts(generation.read_model)[0])


def _fill(
    conninfo: str,
    history: EventHistory,
    generations: Sequence[Generation],
    upto: int,
    config: BuildingConfig,
    telling: Telling,
) -> None:
    builder = Builder(conninfo, history, generations, config, tell=telling.folded)
    with closing(builder):
        builder.fill(upto)
    for generation, error in builder.failed.items():
        raise ReplayFailed(f"{generation.read_model.name}: {error}") from error


def _counted(
    connection: psycopg.Connection[Any], into: str, read_models: Sequence[ReadModel]
) -> list[Replayed]:
    found = []
    for model in read_models:
        for table, statement in checksum_statements(into, model):
            row = connection.execute(statement.encode()).fetchone()
            assert row is not None, "an aggregate gives one row"
            found.append(
                Replayed(read_model=model.name, table=table, rows=row[0], checksum=row[1])
            )
    return found
