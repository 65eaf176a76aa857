"""What a read model is: tables of rows, and pure folds that say how each fact changes a row.

Law: a fold sees a row, the fact and its envelope, and nothing else; so the same folds serve the
live runner and a rebuild, and give the same rows in any batch size.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar, get_type_hints
from uuid import UUID

from msgspec import Struct

from domain.catalogue import BY_TAG
from domain.envelope import Told
from domain.facts import Fact

R = TypeVar("R", bound=Struct)
F = TypeVar("F", bound=Fact)

Key: TypeAlias = Hashable
"""A row's key: the value of its one key column, or a tuple of several."""
Kind = Literal["first", "later", "any"]
Source = Literal["business", "telemetry"]
BATCH_EVENTS: Final[dict[Source, int]] = {"business": 8_000, "telemetry": 2_000}
"""How many events are folded at once. A row that changes again and again is written once a
batch: in a large one an event costs less. One of telemetry may be pages of output: fewer."""


class Fold(Struct, frozen=True):
    """How one kind of fact changes one row of a table."""

    fact: type[Fact]
    kind: Kind
    change: Callable[[Any, Any], Any]
    make: Callable[[Any], Any] | None = None
    """Of the kind ``first``: what ``change`` does, without a row that never was."""

    def making(self) -> Callable[[Any], Any]:
        """What makes the row."""
        assert self.make is not None, f"{self.fact.__name__} makes no row"
        return self.make


def first(fact: type[F], make: Callable[[Told[F]], R | None]) -> Fold:
    """The fact that makes a row which never was: nothing is looked up before it.

    In a table whose rows are written once, ``None`` means that this event makes no row.
    """
    return Fold(fact, "first", lambda _row, event: make(event), make)


def on(fact: type[F], change: Callable[[R, Told[F]], R | None]) -> Fold:
    """A fact about a row that is there; ``None`` deletes the row.

    Without the row the log is corrupt or the fold wrong: the read model stops at that event.
    """
    return Fold(fact, "later", change)


def upsert(fact: type[F], change: Callable[[R | None, Told[F]], R | None]) -> Fold:
    """A fact about a row that may or may not be there."""
    return Fold(fact, "any", change)


class Table(Struct, frozen=True, kw_only=True):
    """One table: the fields of ``row`` are its columns.

    The key of the row that a fact is about is read from the fact's fields of the same names
    as the ``key`` columns, or else from its envelope (``position``).
    """

    name: str
    row: type[Struct]
    key: tuple[str, ...]
    folds: tuple[Fold, ...]

    @property
    def append_only(self) -> bool:
        """Whether each row is written once, so that nothing need be remembered of it."""
        return all(fold.kind == "first" for fold in self.folds)

    def key_of(self, fact: type[Fact]) -> Callable[[Told[Any]], Key]:
        """What reads the key out of an event that carries ``fact``."""
        return attrgetter(*self.key_places(fact))

    def key_places(self, fact: type[Fact]) -> tuple[str, ...]:
        """Where in an event that carries ``fact`` the columns of the key are."""
        fields = fact.__struct_fields__
        return tuple(f"fact.{name}" if name in fields else name for name in self.key)

    def key_of_row(self) -> Callable[[Struct], Key]:
        """What reads the key out of a row."""
        return attrgetter(*self.key)


class Tally(Struct, frozen=True, kw_only=True):
    """Sums over the rows of a table, kept as they change: never a ``COUNT(*)`` over history.

    Its table has the ``columns`` as primary key and ``n``: the sum of ``amount`` over all rows
    of ``of`` whose ``group`` is that key; without an ``amount`` each row counts one. A row with
    ``n = 0`` means the same as none. In a group a UUID goes by its number: that is hashed and
    compared in a tenth of the time.
    """

    name: str
    of: Table
    columns: tuple[str, ...]
    group: Callable[[Any], tuple[Any, ...]]
    amount: Callable[[Any], int] | None = None

    def named(self, group: tuple[Any, ...]) -> dict[str, Any]:
        """The key of one of its rows."""
        hints = _types(self.of.row)
        return {
            name: UUID(int=value) if hints.get(name) is UUID else value
            for name, value in zip(self.columns, group, strict=True)
        }


@cache
def _types(row: type[Struct]) -> dict[str, Any]:
    return get_type_hints(row)


class ReadModel(Struct, frozen=True, kw_only=True):
    """What is built, checked, switched and stopped as one. ``ddl`` stands beside its module."""

    name: str
    tables: tuple[Table, ...]
    tallies: tuple[Tally, ...] = ()
    source: Source = "business"
    ddl: Path

    @property
    def relations(self) -> tuple[str, ...]:
        """The names of all its tables, tallies included."""
        tables = tuple(table.name for table in self.tables)
        return tables + tuple(tally.name for tally in self.tallies)

    @property
    def facts(self) -> frozenset[type[Fact]]:
        """The facts that it is about; all others leave it as it is."""
        return frozenset(fold.fact for table in self.tables for fold in table.folds)

    def is_about(self, tag: str) -> bool:
        """Whether events with this tag may change it; one that nobody knows may."""
        return tag not in BY_TAG or BY_TAG[tag] in self.facts
