"""Reports that are not yet known to be committed, and attempts that have begun: on disk.

Memory is the truth while the agent lives; the file is what the next life starts from. What is
confirmed before it was ever written is never written, so a busy agent with quick receipts pays
for few of its reports with a disk write; each write is one transaction, synced.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Generic, TypeVar
from uuid import UUID

import structlog
from msgspec import Struct

K = TypeVar("K")
R = TypeVar("R")

MOST_REPORTS: Final = 50_000
MOST_BYTES: Final = 256 << 20
_LOG = structlog.get_logger(__name__)

TABLES: Final = """
CREATE TABLE IF NOT EXISTS reports (
  report_id BLOB PRIMARY KEY,
  sequence INTEGER NOT NULL UNIQUE,
  subject TEXT NOT NULL,
  payload BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS begun (
  task_id BLOB NOT NULL,
  attempt INTEGER NOT NULL,
  PRIMARY KEY (task_id, attempt)
) WITHOUT ROWID;
"""
SELECT_REPORTS: Final = (
    "SELECT report_id, sequence, subject, payload FROM reports ORDER BY sequence"
)
SELECT_BEGUN: Final = "SELECT task_id, attempt FROM begun"
INSERT_REPORT: Final = "INSERT OR REPLACE INTO reports VALUES (?, ?, ?, ?)"
DELETE_REPORT: Final = "DELETE FROM reports WHERE report_id = ?"
INSERT_BEGUN: Final = "INSERT OR REPLACE INTO begun VALUES (?, ?)"
DELETE_BEGUN: Final = "DELETE FROM begun WHERE task_id = ? AND attempt = ?"


class Pending(Struct, frozen=True):
    """One report that waits for its receipt; ``sequence`` grows over all lives."""

    report_id: UUID
    sequence: int
    subject: str
    payload: bytes


class Changes(Struct):
    """What the disk does not know yet."""

    reports: dict[UUID, Pending]
    confirmed: set[UUID]
    begun: dict[tuple[UUID, int], None]
    ended: set[tuple[UUID, int]]


class _Mirror(Generic[K, R]):
    """A table's rows in memory, and what the disk does not know of them yet."""

    def __init__(self, rows: dict[K, R]) -> None:
        self.rows = rows
        self._unsaved: dict[K, R] = {}
        self._gone: set[K] = set()

    def put(self, key: K, row: R) -> None:
        """Add a row; one that is there stays as it is."""
        if key in self.rows:
            return
        self.rows[key] = row
        self._unsaved[key] = row
        self._gone.discard(key)

    def drop(self, key: K) -> R | None:
        if key not in self.rows:
            return None
        if key in self._unsaved:
            del self._unsaved[key]
        else:
            self._gone.add(key)
        return self.rows.pop(key)

    def take_changes(self) -> tuple[dict[K, R], set[K]]:
        changes = self._unsaved, self._gone
        self._unsaved, self._gone = {}, set()
        return changes

    def give_back(self, unsaved: dict[K, R], gone: set[K]) -> None:
        """The changes were not written after all."""
        for key, row in unsaved.items():
            if key in self.rows:
                self._unsaved.setdefault(key, row)
                self._gone.discard(key)
        self._gone |= gone - self.rows.keys()


class Spool:
    """Open with `open_spool`. Used from one thread; `write` alone may run in another."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # a write whose waiter was cancelled goes on in its thread
        self._one_at_a_time = threading.RLock()
        reports = {
            UUID(bytes=row[0]): Pending(UUID(bytes=row[0]), row[1], row[2], row[3])
            for row in connection.execute(SELECT_REPORTS)
        }
        begun = {
            (UUID(bytes=row[0]), int(row[1])): None for row in connection.execute(SELECT_BEGUN)
        }
        self._reports: _Mirror[UUID, Pending] = _Mirror(reports)
        self._begun: _Mirror[tuple[UUID, int], None] = _Mirror(begun)
        self._sequence = max((row.sequence for row in reports.values()), default=0)
        self._bytes = sum(len(row.payload) for row in reports.values())
        self.interrupted: tuple[tuple[UUID, int], ...] = tuple(begun)
        """Attempts that had begun when the agent's last life ended."""

    def __len__(self) -> int:
        return len(self._reports.rows)

    def add(self, report_id: UUID, subject: str, payload: bytes, *, essential: bool) -> bool:
        """Keep a report until it is confirmed.

        A full spool takes only essential ones (how attempts ended: no more than there are
        attempts) and gives ``False`` for the rest.
        """
        full = len(self) >= MOST_REPORTS or self._bytes >= MOST_BYTES
        if full and not essential:
            return False
        self._sequence += 1
        self._reports.put(report_id, Pending(report_id, self._sequence, subject, payload))
        self._bytes += len(payload)
        return True

    def confirm(self, report_ids: Iterable[UUID]) -> int:
        """Forget reports that are committed; gives how many of them were known."""
        known = 0
        for report_id in report_ids:
            row = self._reports.drop(report_id)
            if row is not None:
                self._bytes -= len(row.payload)
                known += 1
        return known

    def pending(self) -> Iterator[Pending]:
        """Every report that waits, oldest first."""
        return iter(list(self._reports.rows.values()))

    def begin(self, task_id: UUID, attempt: int) -> None:
        """Remember that an attempt runs."""
        self._begun.put((task_id, attempt), None)

    def end(self, task_id: UUID, attempt: int) -> None:
        """The attempt is over, and the report that says so was added."""
        self._begun.drop((task_id, attempt))

    def take_changes(self) -> Changes:
        """What is to be written next: `write` it, or `give_back` what could not be written."""
        return Changes(*self._reports.take_changes(), *self._begun.take_changes())

    def give_back(self, changes: Changes) -> None:
        """The changes were not written: they go with the next ones."""
        self._reports.give_back(changes.reports, changes.confirmed)
        self._begun.give_back(changes.begun, changes.ended)

    def write(self, changes: Changes) -> None:
        """Write and sync, all or nothing.

        Raises:
            OSError: the disk does not take it.
        """
        new = [
            (r.report_id.bytes, r.sequence, r.subject, r.payload)
            for r in changes.reports.values()
        ]
        try:
            with self._one_at_a_time, self._connection as connection:
                connection.executemany(INSERT_REPORT, new)
                connection.executemany(
                    DELETE_REPORT, [(key.bytes,) for key in changes.confirmed]
                )
                connection.executemany(INSERT_BEGUN, [(t.bytes, n) for t, n in changes.begun])
                connection.executemany(DELETE_BEGUN, [(t.bytes, n) for t, n in changes.ended])
        except sqlite3.Error as error:
            raise OSError(f"the spool cannot be written: {error}") from error

    def close(self) -> None:
        """Write what is left and let go."""
        with self._one_at_a_time:
            try:
                self.write(self.take_changes())
            finally:
                self._connection.close()


def open_spool(path: Path) -> Spool:
    """The spool at ``path``; one that is damaged is set aside, and a new one begun.

    A lost spool costs the platform another attempt, which is the platform's to pay; an agent
    that will not start costs the whole host.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return Spool(_connect(path))
    except sqlite3.DatabaseError as error:
        _LOG.error("spool_damaged", path=str(path), error=str(error))
        path.replace(path.with_suffix(".damaged"))
        for leftover in (f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(leftover).unlink(missing_ok=True)
        return Spool(_connect(path))


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, timeout=5)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(TABLES)
        with closing(connection.execute("PRAGMA quick_check")) as check:
            if check.fetchone() != ("ok",):
                raise sqlite3.DatabaseError("quick_check found damage")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
