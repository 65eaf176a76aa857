"""Blocking reads of a log: in order, by stream, by command; decoded, or raw as stored."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from cryptography.exceptions import InvalidTag
from msgspec import MsgspecError, Struct
from msgspec.structs import replace
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Identifier

from commands.event_log.engine import LogDatastore
from commands.event_log.personal import (
    PERSONAL,
    KeyMissing,
    SubjectKeys,
    open_text,
    opened,
    owner,
)
from commands.event_log.secrets import Secrets
from domain.catalogue import decode
from domain.envelope import Recorded, Told
from domain.facts import SealedText, tag_of
from domain.ports import Undecodable

COLUMNS = SQL("""
    notification_id, originator_id, originator_version, topic, recorded_at,
    actor, command_id, correlation_id, causation_id, state
""")
READ_AFTER = SQL("""
    SELECT {columns} FROM {table} WHERE notification_id > %(after)s
    ORDER BY notification_id LIMIT %(limit)s
""")
READ_STREAMS = SQL("""
    SELECT {columns} FROM {table} WHERE originator_id = ANY(%(streams)s)
    ORDER BY notification_id
""")
READ_COMMAND = SQL("""
    SELECT {columns} FROM {table} WHERE command_id = %(command)s ORDER BY notification_id
""")
READ_HEAD = SQL("SELECT coalesce(max(notification_id), 0) AS head FROM {table}")
READ_HEADS = SQL("""
    SELECT stream, coalesce((SELECT max(originator_version) FROM {table}
        WHERE originator_id = stream), 0)
    FROM unnest(%(streams)s::uuid[]) AS wanted (stream)
""")
READ_KEYS = "SELECT user_id, key FROM owl_private.subject_keys WHERE user_id = ANY(%(users)s)"

SEALED: Final = frozenset(fact for fact, names in PERSONAL.items() if names)
UNREADABLE: Final = (MsgspecError, InvalidTag, ValueError)
"""What decoding and decrypting say of bytes that are not what they ought to be."""

E = TypeVar("E", bound=Told[Any])


class Raw(Struct, frozen=True, gc=False):
    """An event as stored: in ``state``, JSON, personal fields are still encrypted."""

    position: int
    stream: UUID
    version: int
    tag: str
    recorded_at: datetime
    actor: str
    command_id: UUID
    correlation_id: str
    causation_id: int | None
    state: bytes


class StoredKeys:
    """Subject keys for blocking readers, remembered for a while."""

    def __init__(self, datastore: LogDatastore, secrets: Secrets) -> None:
        self._datastore = datastore
        self._secrets = secrets
        self._keys = SubjectKeys()

    def key_of(self, user_id: UUID) -> bytes | None:
        """One user's key; ``None`` when it was destroyed."""
        return self.load([user_id])[user_id]

    def load(self, users: Collection[UUID]) -> dict[UUID, bytes | None]:
        """Several users' keys in one query at most."""
        found: dict[UUID, bytes | None] = {}
        missing = []
        for user in users:
            try:
                found[user] = self._keys.get(user)
            except KeyMissing:
                missing.append(user)
        if missing:
            with self._datastore.reach() as connection:
                rows = connection.execute(READ_KEYS, {"users": missing}).fetchall()
            wrapped = {row["user_id"]: row["key"] for row in rows}
            for user in missing:
                key = wrapped.get(user)
                found[user] = None if key is None else self._secrets.unwrap_key(user, key)
                self._keys.put(user, found[user])
        return found

    def forget(self, user_id: UUID) -> None:
        """The key was destroyed: stop reading with it at once."""
        self._keys.forget(user_id)

    def open(self, sealed: Sequence[SealedText]) -> list[str]:
        """What users wrote, each in the clear; ``ERASED`` where the key is gone.

        Raises:
            LogFailure: the keys are out of reach.
        """
        keys = self.load({each.user_id for each in sealed})
        return [open_text(each, keys[each.user_id]) for each in sealed]


class Reading:
    """The selects of one log's table, ``owl_log.<table>``."""

    def __init__(self, datastore: LogDatastore, table: str, keys: StoredKeys) -> None:
        self._datastore = datastore
        self._keys = keys
        parts = {"columns": COLUMNS, "table": Identifier("owl_log", table)}
        self._after = READ_AFTER.format(**parts)
        self._streams = READ_STREAMS.format(**parts)
        self._command = READ_COMMAND.format(**parts)
        self._head = READ_HEAD.format(**parts)
        self._heads = READ_HEADS.format(**parts)

    def head(self) -> int:
        """The highest position, 0 when the log is empty."""
        return int(self._rows(self._head, {})[0][0])

    def after(self, position: int, limit: int) -> list[Recorded[Any]]:
        """At most ``limit`` events above ``position``, in order, none behind a bad one.

        Raises:
            Undecodable: the very next event cannot be read.
        """
        rows = self._rows(self._after, {"after": position, "limit": limit})
        events, bad = sound(rows, self._keys)
        if bad is not None and not events:
            raise bad
        return events

    def raw_after(self, position: int, limit: int) -> list[Raw]:
        """The same as stored."""
        rows = self._rows(self._after, {"after": position, "limit": limit})
        return [Raw(*row) for row in rows]

    def streams(self, streams: Collection[UUID]) -> list[Recorded[Any]]:
        """All events of these streams, in order."""
        return self._recorded(self._rows(self._streams, {"streams": list(streams)}))

    def command(self, command_id: UUID) -> list[Recorded[Any]]:
        """What a command did; nothing if it did not happen."""
        return self._recorded(self._rows(self._command, {"command": command_id}))

    def heads(self, streams: Collection[UUID]) -> dict[UUID, int]:
        """The version of each stream, 0 for one that does not exist."""
        return dict(self._rows(self._heads, {"streams": list(streams)}))

    def _rows(self, statement: Any, parameters: dict[str, Any]) -> list[Any]:
        with self._datastore.reach() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            return cursor.execute(statement, parameters, prepare=True).fetchall()

    def _recorded(self, rows: Sequence[Any]) -> list[Recorded[Any]]:
        events, bad = sound(rows, self._keys)
        if bad is not None:
            raise bad
        return events


def sound(
    rows: Sequence[Any], keys: StoredKeys
) -> tuple[list[Recorded[Any]], Undecodable | None]:
    """The events that ``rows`` of ``COLUMNS`` say, and what is wrong with the next one."""
    events: list[Recorded[Any]] = []
    personal: list[int] = []
    row: Any = None
    try:
        for row in rows:
            fact = decode(row[9])
            if type(fact) in SEALED:
                personal.append(len(events))
            events.append(
                Recorded(
                    position=row[0],
                    stream=row[1],
                    version=row[2],
                    recorded_at=row[4],
                    actor=row[5],
                    command_id=row[6],
                    correlation_id=row[7],
                    causation_id=row[8],
                    fact=fact,
                )
            )
    except UNREADABLE as error:
        return unsealed(events, personal, keys, _undecodable(row, error))
    return unsealed(events, personal, keys, None)


def unsealed(
    events: list[E],
    personal: Sequence[int],
    keys: StoredKeys,
    bad: Undecodable | None,
) -> tuple[list[E], Undecodable | None]:
    """``events``, the ``personal`` ones opened; ``bad`` is what comes behind them."""
    if not personal:
        return events, bad
    owners = keys.load({owner(events[n].fact) for n in personal})
    for n in personal:
        event = events[n]
        try:
            events[n] = replace(event, fact=opened(event.fact, owners.get))
        except UNREADABLE as error:
            about = (event.position, event.stream, event.version, tag_of(event.fact))
            return events[:n], _undecodable(about, error)
    return events, bad


def _undecodable(row: Any, error: Exception) -> Undecodable:
    why = f"{type(error).__name__}: {error}"
    return Undecodable(row[0], row[3], f"{row[1]}/{row[2]}", why)
