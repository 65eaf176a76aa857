"""Projects batches into tables: load, fold, then write rows and checkpoints in one commit.

Exactly once: the checkpoints move by compare-and-set in the transaction that writes the rows.
Used by the live runner and by a rebuild that catches up.

Source: the checkpoint per subscriber of Kleppmann, "Designing Data-Intensive Applications",
chapter 11, with the sink's own transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg
from msgspec import Struct

from projections.folding import Event, Folding, Poisoned, TableFolding
from projections.read_model import ReadModel
from projections.statements import (
    TableStatements,
    add_statement,
    as_parameter,
    schema_of,
    table_statements,
)

OVERTAKEN: Final = "OW101"
SESSION: Final = """
    SET timezone = 'UTC';
    SET statement_timeout = '60s';
    -- a read model may lose its last moments in a crash: checkpoint and rows go back together
    SET synchronous_commit = off;
    -- rows are loaded by key from tables that may have grown since the plan was made
    SET enable_seqscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
"""
ADVANCE: Final = """
    SELECT owl_read.advance(%s::text[], %s::bigint[], %s::text[], %s::bigint, %s::bigint)
"""
STOP: Final = """
    UPDATE owl_read.checkpoints SET stopped_at = %(at)s, error = %(error)s, updated_at = now()
    WHERE read_model = %(read_model)s AND generation = %(generation)s
        AND position = %(position)s AND stopped_at IS NULL
"""
ERROR_KEPT = 2_000
"""Characters of an error that are kept in the checkpoint."""


class Overtaken(Exception):
    """Somebody else moved a checkpoint: forget everything and look again."""


class Generation:
    """One generation of a read model, open for projecting."""

    def __init__(
        self, read_model: ReadModel, generation: int, state: str, position: int
    ) -> None:
        schema = schema_of(read_model.name, generation)
        self.read_model = read_model
        self.generation = generation
        self.state = state
        self.position = position
        self.folding = Folding(read_model)
        self.tables = tuple(
            _OpenTable(folding, table_statements(schema, folding.table))
            for folding in self.folding.tables
        )
        self.tallies = tuple(
            (tally, add_statement(schema, tally)) for tally in read_model.tallies
        )

    def writes(self) -> list[tuple[str, str]]:
        """The statements, with their parameter, that write what the batch has changed."""
        statements: list[tuple[str, Sequence[Any]]] = []
        for table in self.tables:
            changes = table.folding.changes()
            statements.append((table.statements.delete, changes.deleted))
            statements.append((table.statements.upsert, changes.written))
            statements.append((table.statements.insert, changes.added))
        for tally, add in self.tallies:
            statements.append((add, self.folding.tally(tally)))
        return [(statement, as_parameter(rows)) for statement, rows in statements if rows]


class _OpenTable(Struct, frozen=True):
    folding: TableFolding
    statements: TableStatements


class Projector:
    """Folds and writes on one connection, which it owns."""

    def __init__(self, connection: psycopg.Connection[Any], *, rows_kept: int) -> None:
        self._connection = connection
        self._rows_kept = rows_kept
        connection.execute(SESSION)

    def project(
        self, generations: Sequence[Generation], events: Sequence[Event]
    ) -> dict[Generation, Poisoned]:
        """Bring generations that stand at one position past ``events``, all or none.

        Returns:
            Those that a fold failed for. They went as far as the event before the one that
            failed, and no further.

        Raises:
            Overtaken: somebody else moved a checkpoint.
            psycopg.Error: nothing was written. Of ``generations`` nothing is remembered.
        """
        try:
            self._load(generations, events)
            poisoned = self._fold(generations, events)
            self._write(generations, events, poisoned)
        except BaseException:
            for generation in generations:
                generation.folding.forget()
            raise
        return poisoned

    def stop(self, generation: Generation, at: int, error: str) -> None:
        """Note in the checkpoint that the event ``at`` cannot be projected."""
        self._connection.execute(
            STOP,
            {
                "at": at,
                "error": error[:ERROR_KEPT] or "no message",
                "read_model": generation.read_model.name,
                "generation": generation.generation,
                "position": generation.position,
            },
        )

    def _load(self, generations: Sequence[Generation], events: Sequence[Event]) -> None:
        wanted = [
            (table, keys)
            for generation in generations
            for folding, keys in generation.folding.wanted(events)
            for table in generation.tables
            if table.folding is folding
        ]
        if not wanted:
            return
        with self._connection.pipeline():
            cursors = [
                self._connection.execute(
                    table.statements.load,
                    (as_parameter([table.folding.key_columns(key) for key in keys]),),
                    prepare=True,
                )
                for table, keys in wanted
            ]
        for (table, keys), cursor in zip(wanted, cursors, strict=True):
            found = cursor.fetchone()
            assert found is not None, "an aggregate gives one row"
            rows = msgspec.json.decode(found[0], type=list[table.folding.table.row])  # type: ignore[name-defined]  # the row type is known at run time
            table.folding.remember(rows, keys)

    def _fold(
        self, generations: Sequence[Generation], events: Sequence[Event]
    ) -> dict[Generation, Poisoned]:
        poisoned: dict[Generation, Poisoned] = {}
        for generation in generations:
            try:
                generation.folding.apply(events)
            except Poisoned as poison:
                poisoned[generation] = poison
                generation.folding.forget()
                sound = events[: poison.index]
                self._load([generation], sound)
                generation.folding.apply(sound)
        return poisoned

    def _write(
        self,
        generations: Sequence[Generation],
        events: Sequence[Event],
        poisoned: dict[Generation, Poisoned],
    ) -> None:
        expected, head = generations[0].position, events[-1].position
        reached = {
            generation: poisoned[generation].position - 1 if generation in poisoned else head
            for generation in generations
        }
        try:
            with self._connection.pipeline(), self._connection.transaction():
                for target in sorted(set(reached.values())):
                    self._advance(
                        [each for each in generations if reached[each] == target],
                        expected,
                        target,
                    )
                for generation in generations:
                    for statement, parameter in generation.writes():
                        self._connection.execute(statement, (parameter,), prepare=True)
        except psycopg.errors.DeadlockDetected as error:
            raise Overtaken from error
        except psycopg.Error as error:
            if error.sqlstate == OVERTAKEN:
                raise Overtaken from error
            raise
        for generation in generations:
            generation.position = reached[generation]
            generation.folding.settle(self._rows_kept)

    def _advance(self, generations: Sequence[Generation], expected: int, to: int) -> None:
        self._connection.execute(
            ADVANCE,
            (
                [each.read_model.name for each in generations],
                [each.generation for each in generations],
                [each.state for each in generations],
                expected,
                to,
            ),
            prepare=True,
        )
