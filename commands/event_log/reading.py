"""Blocking reads of a log: in order, by stream, by command; decoded, or raw as stored."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Identifier

from commands.event_log.engine import LogDatastore
from commands.event_log.personal import PERSONAL, KeyMissing, SubjectKeys, opened, owner
from commands.event_log.secrets import Secrets
from domain.catalogue import decode
from domain.envelope import Recorded

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
        """At most ``limit`` events above ``position``, in order."""
        return self._recorded(self._rows(self._after, {"after": position, "limit": limit}))

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

    def _recorded(self, rows: Iterable[Any]) -> list[Recorded[Any]]:
        events = [
            Recorded(
                position=position,
                stream=stream,
                version=version,
                recorded_at=recorded_at,
                actor=actor,
                command_id=command_id,
                correlation_id=correlation_id,
                causation_id=causation_id,
                fact=decode(state),
            )
            for position, stream, version, _tag, recorded_at, *about, state in rows
            for actor, command_id, correlation_id, causation_id in [about]
        ]
        return self._opened(events)

    def _opened(self, events: list[Recorded[Any]]) -> list[Recorded[Any]]:
        personal = [n for n, event in enumerate(events) if PERSONAL[type(event.fact)]]
        if personal:
            keys = self._keys.load({owner(events[n].fact) for n in personal})
            for n in personal:
                event = events[n]
                fact = opened(event.fact, keys.get)
                events[n] = replace(event, fact=fact)
        return events
