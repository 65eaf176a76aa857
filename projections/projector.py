"""Projects batches into tables: load, fold, then write rows and checkpoints in one commit.

Exactly once: the checkpoints move by compare-and-set in the transaction that writes the rows.
Commits are as durable as those of the log: a position that anybody was told, or could see, must
not go back in a crash, for clients come back with it (``projections.position``).

Source: the checkpoint per subscriber of Kleppmann, "Designing Data-Intensive Applications",
chapter 11, with the sink's own transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

import msgspec
import psycopg
from msgspec import Struct

from projections.counting import Counting
from projections.folding import Event, Folding, Poisoned, TableFolding
from projections.one_trip import OneTrip, Statement
from projections.read_model import ReadModel
from projections.statements import (
    TableStatements,
    add_statement,
    as_array,
    as_parameter,
    schema_of,
    table_statements,
)

OVERTAKEN: Final = "OW101"
SESSION: Final = """
    SET timezone = 'UTC';
    SET statement_timeout = '60s';
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
ERROR_KEPT = 2_000  # characters of an error that are kept in the checkpoint

UNFIT: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.ProgrammingError,
    psycopg.NotSupportedError,
)
"""What Postgres says of rows that it will never take; anything else may pass by itself."""


class Overtaken(Exception):
    """Somebody else moved a checkpoint: forget everything and look again."""


class Unwritten(Exception):
    """A write that was left under way was not taken: look again, and wait for each write."""


class Generation:
    """One generation of a read model, open for projecting."""

    has_checkpoint = True  # a sandbox has none
    schema_of = staticmethod(schema_of)

    def __init__(
        self, read_model: ReadModel, generation: int, state: str, position: int
    ) -> None:
        self.schema = schema = self.schema_of(read_model.name, generation)
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

    def writes(self) -> list[Statement]:
        """The statements, with their parameter, that write what the batch has changed."""
        statements: list[tuple[str, list[Any]]] = []
        for table in self.tables:
            changes = table.folding.changes()
            statements.append((table.statements.delete, changes.deleted))
            statements.append((table.statements.upsert, [*changes.fresh, *changes.changed]))
            statements.append((table.statements.insert, changes.added))
        for tally, add in self.tallies:
            moves = self.folding.of(tally).moves()
            statements.append((add, Counting(tally).of(*moves)))
        return [(statement, (as_parameter(rows),)) for statement, rows in statements if rows]


class _OpenTable(Struct, frozen=True):
    folding: TableFolding
    statements: TableStatements


class Projector:
    """Folds and writes on one connection, which it owns.

    Catching up, the next batch is folded while this one is written: the client and the server
    each have their share of the work, about equal.
    """

    def __init__(self, connection: psycopg.Connection[Any], *, rows_kept: int) -> None:
        self._connection = connection
        self._trip = OneTrip(connection)
        self._rows_kept = rows_kept
        self._writer = ThreadPoolExecutor(1, "projections-writer")
        self._under_way: Future[None] | None = None
        connection.execute(SESSION)

    def project(
        self, generations: Sequence[Generation], events: Sequence[Event], *, wait: bool = True
    ) -> dict[Generation, Poisoned]:
        """Bring generations that stand at one position past ``events``, all or none.

        Without ``wait`` the write is left under way, and how it ended is known at the next
        call. A failure then means that of ``generations`` the positions are wrong as well.

        Returns:
            Those that a fold failed for. They went as far as the event before the one that
            failed, and no further.

        Raises:
            Overtaken: somebody else moved a checkpoint.
            Unwritten: the write that was left under way was not taken.
            psycopg.Error: nothing was written. Of ``generations`` nothing is remembered.
        """
        try:
            load_wanted(self._connection, generations, events, ready=self.join)
            poisoned = self._fold(generations, events)
            reached = {
                each: poisoned[each].position - 1 if each in poisoned else events[-1].position
                for each in generations
            }
            statements = advances(reached)
            for generation in generations:
                statements += generation.writes()
            self.join()
            if wait or poisoned:
                self._commit(statements)
            else:
                self._under_way = self._writer.submit(self._commit, statements)
        except BaseException:
            for generation in generations:
                generation.folding.forget()
            raise
        for each in generations:
            each.position = reached[each]
            each.folding.settle(self._rows_kept)
        return poisoned

    def go_past(self, generations: Sequence[Generation], position: int) -> None:
        """Move on to ``position`` without an event; nothing may be under way.

        Raises:
            Overtaken: somebody else moved a checkpoint.
            psycopg.Error: nothing was written.
        """
        self._commit(advances(dict.fromkeys(generations, position)))
        for generation in generations:
            generation.position = position

    def join(self) -> None:
        """Wait for the write that was left under way.

        Raises:
            Overtaken: somebody else moved a checkpoint.
            Unwritten: it was not taken.
            psycopg.OperationalError: Postgres is out of reach.
        """
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            try:
                under_way.result()
            except UNFIT as error:
                raise Unwritten from error

    def close(self) -> None:
        """Let what is under way end, then close the connection."""
        with suppress(Overtaken, Unwritten, psycopg.Error):
            self.join()
        self._writer.shutdown()
        self._connection.close()

    def stop(self, generation: Generation, at: int, error: str) -> bool:
        """Note in the checkpoint, if it is still there, that ``at`` cannot be projected."""
        stopped = self._connection.execute(
            STOP,
            {
                "at": at,
                "error": error[:ERROR_KEPT] or "no message",
                "read_model": generation.read_model.name,
                "generation": generation.generation,
                "position": generation.position,
            },
        )
        return stopped.rowcount == 1

    def _fold(
        self, generations: Sequence[Generation], events: Sequence[Event]
    ) -> dict[Generation, Poisoned]:
        poisoned: dict[Generation, Poisoned] = {}
        for generation in generations:
            try:
                generation.folding.apply(events)
            except Poisoned as poison:
                poisoned[generation] = poison
                self.join()
                generation.folding.forget()
                self._fold_sound(generation, events[: poison.index])
        return poisoned

    def _fold_sound(self, generation: Generation, events: Sequence[Event]) -> None:
        """Fold again, from what is stored, events that were folded without a fault."""
        load_wanted(self._connection, [generation], events, ready=self.join)
        try:
            generation.folding.apply(events)
        except Poisoned as error:
            # so the stored rows are no longer those of our position: it was no poison at all
            raise Overtaken from error

    def _commit(self, statements: Sequence[Statement]) -> None:
        try:
            self._trip.commit(statements)
        except psycopg.errors.DeadlockDetected as error:
            raise Overtaken from error
        except psycopg.Error as error:
            if error.sqlstate == OVERTAKEN:
                raise Overtaken from error
            raise


def load_wanted(
    connection: psycopg.Connection[Any],
    generations: Sequence[Generation],
    events: Sequence[Event],
    *,
    ready: Callable[[], None],
) -> None:
    """Load the rows that ``events`` are about and that are not remembered, if there are any.

    ``ready`` is called first: what was written before must be there.
    """
    wanted = [
        (table, keys)
        for generation in generations
        for folding, keys in generation.folding.wanted(events)
        for table in generation.tables
        if table.folding is folding
    ]
    if not wanted:
        return
    ready()
    with connection.pipeline():
        cursors = [
            connection.execute(
                table.statements.load,
                (as_parameter([table.folding.key_columns(key) for key in keys]),),
                prepare=True,
            )
            for table, keys in wanted
        ]
    for (table, keys), cursor in zip(wanted, cursors, strict=True):
        (found,) = cursor.fetchall()  # an aggregate gives one row
        rows = msgspec.json.decode(found[0], type=list[table.folding.table.row])  # type: ignore[name-defined]  # the row type is known at run time
        table.folding.remember(rows, keys)


def advances(reached: Mapping[Generation, int]) -> list[Statement]:
    """The compare-and-sets; those that are poisoned do not go as far as the others."""
    statements: list[Statement] = []
    for position in sorted(set(reached.values())):
        generations = [each for each in reached if reached[each] == position]
        parameters = (
            as_array(each.read_model.name for each in generations),
            as_array(str(each.generation) for each in generations),
            as_array(each.state for each in generations),
            str(generations[0].position),
            str(position),
        )
        statements.append((ADVANCE, parameters))
    return statements
