"""Builds a generation that nobody sees yet: all in memory at first, then by batches.

History is folded without looking anything up, the rows are written once, and the indexes made
over them. When memory is full before history ends, the rest goes through the tables as live
events do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import psycopg
from msgspec import Struct
from psycopg import sql

from domain.ports import EventFeed
from projections.checksum import table_checksums
from projections.folding import Event, Folding, TableFolding
from projections.migrate import ONE_AT_A_TIME, add_generation, run_in_schema
from projections.projector import Generation, Projector
from projections.read_model import ReadModel
from projections.statements import as_parameter, ddl_parts, schema_of

History: TypeAlias = Callable[[int, int], Iterator[Sequence[Event]]]
"""Batches of events with positions above the first number and up to the second, in order."""

ROWS_A_STATEMENT = 5_000

NEXT: Final = """
    SELECT coalesce(max(generation), 0) + 1 FROM owl_read.checkpoints
    WHERE read_model = %(read_model)s
"""
LEFTOVERS: Final = """
    DELETE FROM owl_read.checkpoints
    WHERE read_model = %(read_model)s AND state = 'building' RETURNING generation
"""
BUILT: Final = """
    UPDATE owl_read.checkpoints SET position = %(position)s, updated_at = now()
    WHERE read_model = %(read_model)s AND generation = %(generation)s AND state = 'building'
"""
PATIENCE: Final = "SET statement_timeout = 0"  # an index over a long history takes its time
DROP_SCHEMA: Final = sql.SQL("DROP SCHEMA IF EXISTS {schema} CASCADE")
ANALYZE: Final = sql.SQL("ANALYZE {table}")


class BuildingConfig(Struct, frozen=True, kw_only=True):
    """``rows_in_memory`` bounds what is folded before anything is written."""

    batch_events: int = 10_000
    rows_in_memory: int = 500_000
    rows_kept: int = 100_000


def begin(conninfo: str, read_model: ReadModel) -> int:
    """Make the next generation, without indexes; what an earlier try left is thrown away."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(ONE_AT_A_TIME)
        _discard(connection, read_model)
        row = connection.execute(NEXT, {"read_model": read_model.name}).fetchone()
        assert row is not None, "an aggregate gives one row"
        number = int(row[0])
        add_generation(connection, read_model, number, "building")
        run_in_schema(connection, schema_of(read_model.name, number), ddl_parts(read_model)[0])
    return number


def discard(conninfo: str, read_model: ReadModel) -> None:
    """Throw away what is being built; a generation that was switched to stays."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(ONE_AT_A_TIME)
        _discard(connection, read_model)


def drop_schema(connection: psycopg.Connection[Any], schema: str) -> None:
    """Drop a generation's tables."""
    connection.execute(DROP_SCHEMA.format(schema=sql.Identifier(schema)))


def feed_history(feed: EventFeed, batch_events: int) -> History:
    """History by way of the live feed: right, though not the fastest."""

    def batches(after: int, upto: int) -> Iterator[Sequence[Event]]:
        while after < upto:
            events = feed.read(after, min(batch_events, upto - after))
            if not events:
                return
            yield events
            after = events[-1].position

    return batches


class Builder:
    """Fills one generation, on a connection of its own."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        read_model: ReadModel,
        number: int,
        config: BuildingConfig,
    ) -> None:
        self._connection = connection
        self._config = config
        self._projector = Projector(connection, rows_kept=config.rows_kept)
        connection.execute(PATIENCE)
        self._generation = Generation(read_model, number, "building", 0)
        self._in_memory = True
        for table in self._folding.tables:
            table.complete = True

    @property
    def position(self) -> int:
        """The last event that was folded."""
        return self._generation.position

    def fill(self, events: Sequence[Event]) -> None:
        """Fold the next events of the history.

        Raises:
            Poisoned: a fold failed.
        """
        if not self._in_memory:
            self.follow(events)
            return
        folding = self._folding
        folding.apply(events)
        self._generation.position = events[-1].position
        if sum(map(_remembered, folding.tables)) > self._config.rows_in_memory:
            self.write_out()

    def follow(self, events: Sequence[Event]) -> None:
        """Fold events into the tables, as the live runner does.

        Raises:
            Poisoned: a fold failed.
        """
        for poison in self._projector.project([self._generation], events).values():
            raise poison

    def write_out(self) -> None:
        """Write every row that is in memory, then make the indexes; at most once."""
        if not self._in_memory:
            return
        self._in_memory = False
        model, number = self._generation.read_model, self._generation.generation
        schema = schema_of(model.name, number)
        for table in self._generation.tables:
            changes = table.folding.changes()
            self._insert(table.statements.insert, [*changes.fresh, *changes.added])
        for tally, add in self._generation.tallies:
            self._insert(add, self._folding.tally(tally))
        with self._connection.transaction():
            run_in_schema(self._connection, schema, ddl_parts(model)[1])
        for name in model.relations:
            self._connection.execute(ANALYZE.format(table=sql.Identifier(schema, name)))
        self._connection.execute(
            BUILT,
            {"position": self.position, "read_model": model.name, "generation": number},
        )
        self._folding.settle(self._config.rows_kept)

    def checksums(self) -> dict[str, str]:
        """The checksum of each table, as written."""
        return table_checksums(
            self._connection, self._generation.read_model, self._generation.generation
        )

    @property
    def _folding(self) -> Folding:
        return self._generation.folding

    def _insert(self, statement: str, rows: Sequence[Any]) -> None:
        for start in range(0, len(rows), ROWS_A_STATEMENT):
            part = rows[start : start + ROWS_A_STATEMENT]
            self._connection.execute(statement, (as_parameter(part),), prepare=True)


def _remembered(folding: TableFolding) -> int:
    return len(folding.rows) + len(folding.added)


def _discard(connection: psycopg.Connection[Any], read_model: ReadModel) -> None:
    for (number,) in connection.execute(LEFTOVERS, {"read_model": read_model.name}).fetchall():
        drop_schema(connection, schema_of(read_model.name, number))
