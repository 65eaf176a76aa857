"""Folds a batch of events in memory: which rows are wanted, what becomes of them.

Nothing here does I/O. A row is loaded once, folded as often as the batch says and written
once; a bounded number of rows is remembered between batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, TypeAlias, get_type_hints
from uuid import UUID

from msgspec import Struct

from domain.envelope import Told
from domain.facts import Fact, tag_of
from projections.read_model import Fold, Key, ReadModel, Table, Tally

Event: TypeAlias = Told[Any]
Applying: TypeAlias = Callable[[Event], None]


class Poisoned(Exception):
    """A fold failed at the event at ``position``; the cause is the failure itself."""

    def __init__(self, event: Event, index: int, fold: str) -> None:
        super().__init__(
            f"position {event.position} cannot be folded: {fold} fails at"
            f" {tag_of(event.fact)}, event {event.stream}/{event.version}"
        )
        self.position = event.position
        self.index = index


class Missing(BaseException):
    """The row is not remembered and may be in the table: load it and fold this event again.

    No ``Exception``, so that nothing takes it for a fold's failure.
    """


class TableChanges(Struct):
    """What a batch makes of one table: rows that are new, changed, gone, and written once."""

    fresh: list[Struct]
    changed: list[Struct]
    deleted: list[dict[str, Any]]
    added: list[Struct]


class TableFolding:
    """One table's remembered rows, and which of them the batch has changed.

    ``complete``: no row is in the table that is not remembered.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows: dict[Key, Struct | None] = {}
        self.before: dict[Key, Struct | None] = {}
        self.added: list[Struct] = []
        self.complete = False
        hints = get_type_hints(table.row)
        self._uuids = [hints[name] is UUID for name in table.key]
        self.key_of_row = attrgetter(*map(self._cheap, table.key, self._uuids))

    def remember(self, rows: Iterable[Struct], wanted: Iterable[Key]) -> None:
        """Take in what was loaded; a wanted key without a row is known to have none."""
        for key in wanted:
            self.rows[key] = None
        for row in rows:
            self.rows[self.key_of_row(row)] = row

    def key_columns(self, key: Key) -> dict[str, Any]:
        """The key as a row of its columns."""
        values: Any = (key,) if len(self._uuids) == 1 else key
        columns = zip(self.table.key, values, self._uuids, strict=True)
        return {name: UUID(int=value) if is_uuid else value for name, value, is_uuid in columns}

    def key_of(self, fact: type[Fact]) -> Callable[[Event], Key]:
        """What reads the key out of an event that carries ``fact``."""
        places = self.table.key_places(fact)
        return attrgetter(*map(self._cheap, places, self._uuids))

    @staticmethod
    def _cheap(place: str, is_uuid: bool) -> str:  # noqa: FBT001 - for map
        """A UUID goes by its number: that is hashed and compared in a tenth of the time."""
        return f"{place}.int" if is_uuid else place

    def changes(self) -> TableChanges:
        """What to write; a row that ended as it began is left alone."""
        changes = TableChanges([], [], [], self.added)
        for key, before in self.before.items():
            after = self.rows[key]
            if after is not None:
                (changes.fresh if before is None else changes.changed).append(after)
            elif before is not None:
                changes.deleted.append(self.key_columns(key))
        return changes

    def moves(self) -> tuple[list[Any], list[Any]]:
        """The changed rows as they were before the batch, and all rows as they are now."""
        rows = self.rows
        gone = [row for row in self.before.values() if row is not None]
        come = [row for key in self.before if (row := rows[key]) is not None]
        return gone, [*come, *self.added]

    def take_added(self) -> list[Struct]:
        """Rows that are written once, out of here: somebody else counts and writes them."""
        rows = self.added.copy()
        self.added.clear()
        return rows

    def settle(self, rows_kept: int) -> None:
        """The batch is committed: keep at most ``rows_kept`` rows, the latest changed."""
        rows = self.rows
        for key in self.before:
            rows[key] = rows.pop(key)
        if len(rows) > rows_kept:
            self.complete = False
            for key in list(islice(rows, len(rows) - rows_kept)):
                del rows[key]
        self.before.clear()
        self.added.clear()

    def forget(self) -> None:
        """Nothing remembered can be trusted any more."""
        self.complete = False
        self.rows.clear()
        self.before.clear()
        self.added.clear()

    def applying(self, fold: Fold) -> Applying:
        """What takes an event of this fold's fact to the row that it is about."""
        if self.table.append_only:
            return self._adding(fold)
        if fold.kind == "first":
            return self._making(fold)
        return self._changing(fold) if fold.kind == "later" else self._upserting(fold)

    def _adding(self, fold: Fold) -> Applying:
        make, append = fold.making(), self.added.append

        def add(event: Event) -> None:
            row = make(event)
            if row is not None:
                append(row)

        return add

    def _making(self, fold: Fold) -> Applying:
        rows, before, make = self.rows, self.before, fold.making()
        key_of = self.key_of(fold.fact)

        def start(event: Event) -> None:
            key = key_of(event)
            assert rows.get(key) is None, self._saying("there is a row already for", key)
            rows[key] = make(event)
            before.setdefault(key)

        return start

    def _changing(self, fold: Fold) -> Applying:
        rows, before, change = self.rows, self.before, fold.change
        key_of = self.key_of(fold.fact)

        def alter(event: Event) -> None:
            key = key_of(event)
            row = rows.get(key)
            if row is None:
                self._must_know(key)
            assert row is not None, self._saying("there is no row for", key)
            after = change(row, event)
            if after is not row:
                if key not in before:
                    before[key] = row
                rows[key] = after

        return alter

    def _upserting(self, fold: Fold) -> Applying:
        rows, before, change = self.rows, self.before, fold.change
        key_of = self.key_of(fold.fact)

        def either(event: Event) -> None:
            key = key_of(event)
            row = rows.get(key)
            if row is None:
                self._must_know(key)
            after = change(row, event)
            if after is not row:
                if key not in before:
                    before[key] = row
                rows[key] = after

        return either

    def _saying(self, what: str, key: Key) -> str:
        return f"{self.table.name}: {what} {self.key_columns(key)}"

    def _must_know(self, key: Key) -> None:
        if not self.complete and key not in self.rows:
            raise Missing


class _Handler(Struct, frozen=True):
    folding: TableFolding
    fold: Fold
    key_of: Callable[[Event], Key]
    apply: Applying


class Folding:
    """One generation of a read model while it is being folded."""

    def __init__(self, read_model: ReadModel) -> None:
        self.read_model = read_model
        self.tables = tuple(TableFolding(table) for table in read_model.tables)
        self._handlers: dict[type[Fact], tuple[_Handler, ...]] = {}
        for folding in self.tables:
            for fold in folding.table.folds:
                key_of = folding.key_of(fold.fact)
                handler = _Handler(folding, fold, key_of, folding.applying(fold))
                self._handlers[fold.fact] = (*self._handlers.get(fold.fact, ()), handler)
        self.appliers: dict[type[Fact], tuple[Applying, ...]] = {
            fact: tuple(handler.apply for handler in handlers)
            for fact, handlers in self._handlers.items()
        }
        self._wanting = {
            fact: tuple(
                (place, folding.rows, handler.key_of, handler.fold.kind == "first")
                for place, folding in enumerate(self.tables)
                for handler in handlers
                if handler.folding is folding and not folding.table.append_only
            )
            for fact, handlers in self._handlers.items()
        }

    def fold_of(self, apply: Applying) -> str:
        """The name of one of ``appliers``: ``read model.table``."""
        tables = (
            handler.folding.table.name
            for handlers in self._handlers.values()
            for handler in handlers
            if handler.apply is apply
        )
        return f"{self.read_model.name}.{next(tables)}"

    def wanted(self, events: Sequence[Event]) -> list[tuple[TableFolding, list[Key]]]:
        """For each table the keys that the batch needs and that are not remembered."""
        get, nothing = self._wanting.get, ()
        missing: list[dict[Key, None]] = [{} for _ in self.tables]
        made: list[set[Key]] = [set() for _ in self.tables]
        for event in events:
            for place, rows, key_of, is_first in get(type(event.fact), nothing):
                key = key_of(event)
                if is_first:
                    made[place].add(key)
                elif key not in rows and key not in made[place]:
                    missing[place][key] = None
        return [
            (folding, list(keys))
            for folding, keys in zip(self.tables, missing, strict=True)
            if keys
        ]

    def apply(self, events: Sequence[Event]) -> None:
        """Fold the events into the remembered rows.

        Raises:
            Poisoned: a fold failed; what is remembered is then half-way and must be forgotten.
        """
        get, nothing = self.appliers.get, ()
        for index, event in enumerate(events):
            for apply in get(type(event.fact), nothing):
                try:
                    apply(event)
                except Exception as error:
                    raise Poisoned(event, index, self.fold_of(apply)) from error

    def of(self, tally: Tally) -> TableFolding:
        """The table whose rows ``tally`` counts."""
        return next(folding for folding in self.tables if folding.table is tally.of)

    def settle(self, rows_kept: int) -> None:
        """The batch is committed."""
        for folding in self.tables:
            folding.settle(rows_kept)

    def forget(self) -> None:
        """Nothing remembered can be trusted any more."""
        for folding in self.tables:
            folding.forget()
