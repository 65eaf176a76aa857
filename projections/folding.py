"""Folds a batch of events in memory: which rows are wanted, what becomes of them.

Nothing here does I/O. A row is loaded once, folded as often as the batch says and written
once; a bounded number of rows is remembered between batches.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from domain.envelope import Recorded
from domain.facts import Fact
from projections.read_model import Fold, Key, ReadModel, Table, Tally

Event: TypeAlias = Recorded[Any]


class Poisoned(Exception):
    """A fold failed at the event at ``position``; the cause is the failure itself."""

    def __init__(self, position: int, index: int) -> None:
        super().__init__(f"position {position} cannot be folded")
        self.position = position
        self.index = index


class TableChanges(Struct):
    """What a batch makes of one table."""

    written: list[Struct]
    deleted: list[dict[str, Any]]
    added: list[Struct]


class TableFolding:
    """One table's remembered rows, and which of them the batch has changed."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows: OrderedDict[Key, Struct | None] = OrderedDict()
        self.before: dict[Key, Struct | None] = {}
        self.added: list[Struct] = []
        self.key_of_row = table.key_of_row()

    def remember(self, rows: Iterable[Struct], wanted: Iterable[Key]) -> None:
        """Take in what was loaded; a wanted key without a row is known to have none."""
        for key in wanted:
            self.rows[key] = None
        for row in rows:
            self.rows[self.key_of_row(row)] = row

    def key_columns(self, key: Key) -> dict[str, Any]:
        """The key as a row of its columns."""
        names = self.table.key
        return {names[0]: key} if len(names) == 1 else dict(zip(names, key, strict=True))  # type: ignore[call-overload]  # a key of several columns is a tuple

    def changes(self) -> TableChanges:
        """What to write; a row that ended as it began is left alone."""
        changes = TableChanges([], [], self.added)
        for key, before in self.before.items():
            after = self.rows[key]
            if after is not None:
                changes.written.append(after)
            elif before is not None:
                changes.deleted.append(self.key_columns(key))
        return changes

    def moves(self) -> Iterable[tuple[Any, Any]]:
        """Each changed row as it was before the batch and as it is now."""
        for key, before in self.before.items():
            yield before, self.rows[key]
        for row in self.added:
            yield None, row

    def settle(self, rows_kept: int) -> None:
        """The batch is committed: keep at most ``rows_kept`` rows, the latest changed."""
        for key in self.before:
            self.rows.move_to_end(key)
        self.before = {}
        self.added = []
        while len(self.rows) > rows_kept:
            self.rows.popitem(last=False)

    def forget(self) -> None:
        """Nothing remembered can be trusted any more."""
        self.rows.clear()
        self.before = {}
        self.added = []


class _Handler(Struct, frozen=True):
    folding: TableFolding
    key_of: Callable[[Event], Key]
    kind: str
    change: Callable[[Any, Event], Any]
    append_only: bool


class Folding:
    """One generation of a read model while it is being folded."""

    def __init__(self, read_model: ReadModel) -> None:
        self.read_model = read_model
        self.tables = tuple(TableFolding(table) for table in read_model.tables)
        self._handlers: dict[type[Fact], tuple[_Handler, ...]] = {}
        for folding in self.tables:
            for fold in folding.table.folds:
                known = self._handlers.get(fold.fact, ())
                self._handlers[fold.fact] = (*known, _handler(folding, fold))

    def wanted(self, events: Sequence[Event]) -> list[tuple[TableFolding, list[Key]]]:
        """For each table the keys that the batch needs and that are not remembered."""
        missing: dict[int, dict[Key, None]] = {}
        made: set[tuple[int, Key]] = set()
        for event in events:
            for handler in self._handlers.get(type(event.fact), ()):
                if handler.append_only:
                    continue
                folding, key = handler.folding, handler.key_of(event)
                place = id(folding)
                if handler.kind == "first":
                    made.add((place, key))
                elif key not in folding.rows and (place, key) not in made:
                    missing.setdefault(place, {})[key] = None
        return [
            (folding, list(missing[id(folding)]))
            for folding in self.tables
            if id(folding) in missing
        ]

    def apply(self, events: Sequence[Event]) -> None:
        """Fold the events into the remembered rows.

        Raises:
            Poisoned: a fold failed; what is remembered is then half-way and must be forgotten.
        """
        handlers = self._handlers
        for index, event in enumerate(events):
            for handler in handlers.get(type(event.fact), ()):
                try:
                    _apply(handler, event)
                except Exception as error:
                    raise Poisoned(event.position, index) from error

    def tally(self, tally: Tally) -> list[dict[str, Any]]:
        """By how much the batch changes each of the tally's groups."""
        differences: defaultdict[tuple[Any, ...], int] = defaultdict(int)
        group, amount = tally.group, tally.amount
        for folding in self.tables:
            if folding.table is not tally.of:
                continue
            for before, after in folding.moves():
                if before is not None:
                    differences[group(before)] -= amount(before)
                if after is not None:
                    differences[group(after)] += amount(after)
        return [
            {**dict(zip(tally.columns, key, strict=True)), "n": n}
            for key, n in differences.items()
            if n
        ]

    def settle(self, rows_kept: int) -> None:
        """The batch is committed."""
        for folding in self.tables:
            folding.settle(rows_kept)

    def forget(self) -> None:
        """The batch was not committed, or somebody else wrote the tables."""
        for folding in self.tables:
            folding.forget()


def _handler(folding: TableFolding, fold: Fold) -> _Handler:
    table = folding.table
    return _Handler(folding, table.key_of(fold.fact), fold.kind, fold.change, table.append_only)


def _apply(handler: _Handler, event: Event) -> None:
    folding = handler.folding
    if handler.append_only:
        row = handler.change(None, event)
        if row is not None:
            folding.added.append(row)
        return
    key = handler.key_of(event)
    rows = folding.rows
    row = rows.get(key)
    if handler.kind == "first":
        assert row is None, f"{folding.table.name}: there is a row for {key} already"
    elif handler.kind == "later":
        assert row is not None, f"{folding.table.name}: there is no row for {key}"
    after = handler.change(row, event)
    if after is not row:
        folding.before.setdefault(key, row)
        rows[key] = after
