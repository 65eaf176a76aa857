"""What a rebuild writes in one commit, gathered while it folds.

Rows that are written once are packed and counted batch by batch, while the processor still has
them at hand, and so are kept as bytes; rows that may change are packed when the chunk ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import psycopg
from msgspec import Struct

from projections.copying import Copying
from projections.counting import Counting
from projections.folding import TableFolding
from projections.jobs import Wish, note_chunk
from projections.one_trip import Statement
from projections.pace import Turns
from projections.projector import OVERTAKEN, Generation, Overtaken, advances
from projections.statements import TableStatements, as_parameter

ROWS_AT_ONCE: Final = 5_000
"""Of one statement."""
ROWS_AT_LEAST: Final = 128
"""That are packed before a chunk ends: of few at a time most would be spent on beginning."""


class Chunk(Struct, frozen=True):
    """What one commit writes: for each table its new rows, and statements for the rest."""

    fresh: list[tuple[Copying, list[bytes]]]
    statements: list[Statement]
    reached: Mapping[Generation, int]

    @classmethod
    def of(cls, moved: Mapping[Generation, Gathering], reached: int) -> Chunk:
        """What these have gathered up to ``reached``; they begin anew."""
        positions = {each: reached for each in moved if each.has_checkpoint}
        chunk = cls([], advances(positions), positions)
        for gathering in moved.values():
            for table in gathering.tables:
                chunk.fresh.append(table.take(chunk.statements))
            for add, counting in gathering.tallies():
                chunk.statements.extend(_in_parts(add, counting.take()))
        return chunk

    def write(self, connection: psycopg.Connection[Any], turns: Turns) -> Mapping[str, Wish]:
        """All of it, or nothing.

        Raises:
            Overtaken: somebody else moved a checkpoint.
        """
        try:
            with connection.transaction():
                for copying, packed in self.fresh:
                    if packed:
                        copying.put(packed, turns.rest)
                for statement, parameters in self.statements:
                    connection.execute(statement, parameters)
                    turns.rest()
                return note_chunk(connection, self.reached) if self.reached else {}
        except psycopg.Error as error:
            if error.sqlstate == OVERTAKEN:
                raise Overtaken from error
            raise


class Gathering:
    """One generation's share of the chunk that is being folded."""

    def __init__(self, connection: psycopg.Connection[Any], generation: Generation) -> None:
        counted = [
            (generation.folding.of(tally), add, Counting(tally))
            for tally, add in generation.tallies
        ]
        self.tables = [
            _GatheredTable(
                table.folding,
                table.statements,
                Copying(connection, generation.schema, table.folding.table),
                [(add, counting) for of, add, counting in counted if of is table.folding],
                [],
            )
            for table in generation.tables
        ]
        self._written_once = [table for table in self.tables if table.folding.table.append_only]

    def batch_ends(self) -> None:
        """Pack what was added and never changes, once it is enough to be worth the while."""
        for table in self._written_once:
            if len(table.folding.added) >= ROWS_AT_LEAST:
                table.pack_added()

    def tallies(self) -> Iterator[tuple[str, Counting]]:
        """Each with the statement that writes it."""
        for table in self.tables:
            yield from table.tallies


class _GatheredTable(Struct, frozen=True):
    folding: TableFolding
    statements: TableStatements
    copying: Copying
    tallies: list[tuple[str, Counting]]
    packed: list[bytes]

    def pack_added(self) -> None:
        rows = self.folding.take_added()
        if rows:
            self._count([], rows)
            self.packed.extend(self.copying.packed(rows))

    def take(self, statements: list[Statement]) -> tuple[Copying, list[bytes]]:
        if self.folding.table.append_only:
            self.pack_added()
        else:
            self._count(*self.folding.moves())
            changes = self.folding.changes()
            self.packed.extend(self.copying.packed(changes.fresh))
            statements.extend(_in_parts(self.statements.delete, changes.deleted))
            statements.extend(_in_parts(self.statements.upsert, changes.changed))
        packed = self.packed.copy()
        self.packed.clear()
        return self.copying, packed

    def _count(self, gone: Sequence[Struct], come: Sequence[Struct]) -> None:
        for _, counting in self.tallies:
            counting.note(gone, come)


def _in_parts(statement: str, rows: Sequence[Any]) -> Iterable[Statement]:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield statement, (as_parameter(rows[start : start + ROWS_AT_ONCE]),)
