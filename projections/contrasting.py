"""Contrasts two generations that different folds made: how many rows differ, in which columns.

Both are read once, in the order of their keys' hashes, and merged; so it takes no more memory
for a million rows than for ten. A column is compared by its text, so that one whose type has
changed can be. Columns and tables that only one side has are named and not compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct
from psycopg import sql

from projections.comparing import Difference, Side
from projections.read_model import ReadModel
from projections.statements import schema_of

COLUMNS: Final = """
    SELECT relname::text, attname::text, format_type(atttypid, atttypmod)
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = %(schema)s AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
    ORDER BY relname, attnum
"""
HASH: Final = sql.SQL("hashtextextended({column}::text, 0)")
SIGNS: Final = sql.SQL("""
    SELECT hashtextextended(ROW({key})::text, 0) AS key_hash, ARRAY[{hashes}]::bigint[]::text
    FROM {table} AS line {where} ORDER BY key_hash
""")
COUNT: Final = sql.SQL("SELECT count(*) FROM {table} AS line {where}")
LOOK_UP: Final = sql.SQL("""
    SELECT hashtextextended(ROW({key})::text, 0), to_json(line)::text FROM {table} AS line
    WHERE hashtextextended(ROW({key})::text, 0) = ANY(%(hashes)s) {where}
""")
FETCHED_ROWS: Final = 5_000

Sign: TypeAlias = tuple[int, str]
"""The hash of a row's key, and those of its columns."""


class TableContrast(Struct, frozen=True, kw_only=True):
    """One table. ``changed`` rows have the same key and differ in ``columns``."""

    table: str
    live_rows: int
    other_rows: int
    changed: int
    only_live: int
    only_other: int
    columns: tuple[str, ...]
    new_columns: tuple[str, ...]
    gone_columns: tuple[str, ...]
    retyped_columns: tuple[str, ...]

    @property
    def rows_that_differ(self) -> int:
        """Whether changed, or on one side only."""
        return self.changed + self.only_live + self.only_other

    @property
    def differs(self) -> bool:
        """In rows or in columns."""
        shape = self.new_columns + self.gone_columns + self.retyped_columns
        return bool(self.rows_that_differ or shape)


class Contrast(Struct, frozen=True, kw_only=True):
    """``new_tables`` and ``gone_tables`` are those that only one side has."""

    tables: tuple[TableContrast, ...]
    new_tables: tuple[str, ...]
    gone_tables: tuple[str, ...]

    @property
    def rows_that_differ(self) -> int:
        """In the tables that both have."""
        return sum(each.rows_that_differ for each in self.tables)

    @property
    def differing(self) -> tuple[str, ...]:
        """The tables that are not the same."""
        both = tuple(each.table for each in self.tables if each.differs)
        return both + self.new_tables + self.gone_tables


def contrast(
    live: Side, other: Side, read_model: ReadModel, limit: int
) -> tuple[Contrast, tuple[Difference, ...]]:
    """How the two differ, and the first ``limit`` rows that do."""
    before = _columns(live, read_model)
    after = _columns(other, read_model)
    tables: list[TableContrast] = []
    examples: list[Difference] = []
    for name, key in _keys(read_model).items():
        if name in before and name in after:
            pair = _Pair.of(read_model, name, key, before[name], after[name])
            found, hashes = pair.contrast(live, other, limit - len(examples))
            tables.append(found)
            examples += pair.look_up(live, other, hashes)
    return Contrast(
        tables=tuple(tables),
        new_tables=tuple(name for name in after if name not in before),
        gone_tables=tuple(name for name in before if name not in after),
    ), tuple(examples)


class _Pair(Struct, frozen=True):
    """A table as both sides have it."""

    read_model: ReadModel
    table: str
    key: tuple[str, ...]
    before: dict[str, str]
    after: dict[str, str]
    both: tuple[str, ...]
    """The columns that are compared."""

    @classmethod
    def of(
        cls,
        read_model: ReadModel,
        table: str,
        key: tuple[str, ...],
        before: dict[str, str],
        after: dict[str, str],
    ) -> _Pair:
        both = tuple(name for name in after if name in before)
        return cls(read_model, table, key, before, after, both)

    def contrast(
        self, live: Side, other: Side, limit: int
    ) -> tuple[TableContrast, tuple[int, ...]]:
        """With the hashes of the keys of the first ``limit`` rows that differ."""
        counted: Counter[str] = Counter()
        columns: set[str] = set()
        hashes: list[int] = []
        if set(self.key) <= set(self.both):
            for key_hash, theirs, ours in _merged(self._signs(live), self._signs(other)):
                counted["live"] += theirs is not None
                counted["other"] += ours is not None
                if theirs == ours:
                    continue
                if theirs is None or ours is None:
                    counted["only_other" if theirs is None else "only_live"] += 1
                else:
                    counted["changed"] += 1
                    columns |= self._that_differ(theirs, ours)
                if len(hashes) < limit:
                    hashes.append(key_hash)
        else:  # rows of other keys are other rows
            counted["live"] = counted["only_live"] = self._count(live)
            counted["other"] = counted["only_other"] = self._count(other)
        before, after = self.before, self.after
        return TableContrast(
            table=self.table,
            live_rows=counted["live"],
            other_rows=counted["other"],
            changed=counted["changed"],
            only_live=counted["only_live"],
            only_other=counted["only_other"],
            columns=tuple(name for name in self.both if name in columns),
            new_columns=tuple(name for name in after if name not in before),
            gone_columns=tuple(name for name in before if name not in after),
            retyped_columns=tuple(name for name in self.both if before[name] != after[name]),
        ), tuple(hashes)

    def look_up(self, live: Side, other: Side, hashes: tuple[int, ...]) -> Iterator[Difference]:
        """The rows themselves, of the columns that both sides have."""
        if not hashes:
            return
        theirs, ours = self._rows(live, hashes), self._rows(other, hashes)
        for each in hashes:
            before, after = theirs.get(each), ours.get(each)
            row = before or after or {}
            yield Difference(
                table=self.table,
                key={name: row.get(name) for name in self.key},
                live=before,
                other=after,
            )

    def _that_differ(self, theirs: str, ours: str) -> set[str]:
        pairs = zip(self.both, _hashes(theirs), _hashes(ours), strict=True)
        return {name for name, before, after in pairs if before != after}

    def _signs(self, side: Side) -> Iterator[Sign]:
        with side.connection.cursor(f"signs_{self.table}_{side.generation}") as cursor:
            cursor.itersize = FETCHED_ROWS
            cursor.execute(self._statement(side, SIGNS))
            yield from cursor

    def _count(self, side: Side) -> int:
        row = side.connection.execute(self._statement(side, COUNT)).fetchone()
        assert row is not None, "an aggregate gives one row"
        return int(row[0])

    def _rows(self, side: Side, hashes: tuple[int, ...]) -> dict[int, dict[str, Any]]:
        found = side.connection.execute(
            self._statement(side, LOOK_UP), {"hashes": list(hashes)}
        ).fetchall()
        whole = {key_hash: msgspec.json.decode(text) for key_hash, text in found}
        return {
            key_hash: {name: row[name] for name in self.both} for key_hash, row in whole.items()
        }

    def _statement(self, side: Side, statement: sql.SQL) -> sql.Composed:
        is_tally = any(tally.name == self.table for tally in self.read_model.tallies)
        only = ("AND" if statement is LOOK_UP else "WHERE") + " n <> 0"
        columns = [sql.Identifier("line", name) for name in self.both]
        return statement.format(
            key=sql.SQL(", ").join(sql.Identifier("line", name) for name in self.key),
            hashes=sql.SQL(", ").join(HASH.format(column=each) for each in columns),
            table=sql.Identifier(schema_of(self.read_model.name, side.generation), self.table),
            where=sql.SQL(only) if is_tally else sql.SQL(""),  # 0 says the same as no row
        )


def _merged(
    theirs: Iterator[Sign], ours: Iterator[Sign]
) -> Iterator[tuple[int, str | None, str | None]]:
    """Both in the order of the hashes; ``None`` where a side has no row of it."""
    left, right = next(theirs, None), next(ours, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            assert left is not None, "one of them there is"
            yield left[0], left[1], None
            left = next(theirs, None)
        elif left is None or right[0] < left[0]:
            yield right[0], None, right[1]
            right = next(ours, None)
        else:
            yield left[0], left[1], right[1]
            left, right = next(theirs, None), next(ours, None)


def _hashes(signs: str) -> list[str]:
    return signs[1:-1].split(",")


def _columns(side: Side, read_model: ReadModel) -> dict[str, dict[str, str]]:
    """For each table the type of each column, as the generation has them."""
    about = {"schema": schema_of(read_model.name, side.generation)}
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in side.connection.execute(COLUMNS, about).fetchall():
        tables.setdefault(table, {})[column] = kind
    return tables


def _keys(read_model: ReadModel) -> dict[str, tuple[str, ...]]:
    keys = {table.name: table.key for table in read_model.tables}
    return keys | {tally.name: tally.columns for tally in read_model.tallies}
