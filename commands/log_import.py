"""Brings a whole log into an empty database: the events as they were, under its old name.

What lies beside the log does not travel: no password, no key of a personal field, no code in
the clear. So nobody can log in there before an administrator was made, and what was personal
reads as erased.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import psycopg

from commands.event_log.batch import LOCK
from domain.audit.canonical import StoredEvent

IS_EMPTY: Final = "SELECT NOT EXISTS (SELECT 1 FROM owl_log.events)"
NAME: Final = "UPDATE owl_log.identity SET origin = %(origin)s"
RECALL: Final = "SELECT owl_private.recall_maintenance()"
COPY: Final = """
    COPY owl_log.events (notification_id, originator_id, originator_version, topic, recorded_at,
        actor, correlation_id, causation_id, command_id, state) FROM STDIN (FORMAT BINARY)
"""
COLUMN_TYPES: Final = (
    *("int8", "uuid", "int8", "text", "timestamptz"),
    *("text", "text", "int8", "uuid", "bytea"),
)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class LogNotEmpty(Exception):
    """The database holds events already."""


def import_log(conninfo: str, origin: str, events: Iterable[StoredEvent]) -> int:
    """Store ``events``, all or none; how many those were. The tables must be there.

    Raises:
        LogNotEmpty: it is not the first thing that the database is told.
    """
    count = 0
    with psycopg.connect(conninfo) as connection, connection.cursor() as cursor:
        cursor.execute(LOCK.sql)
        row = cursor.execute(IS_EMPTY).fetchone()
        if row != (True,):
            raise LogNotEmpty("the database holds events already: import into an empty one")
        cursor.execute(NAME, {"origin": origin})
        with cursor.copy(COPY) as copy:
            copy.set_types(COLUMN_TYPES)
            for event in events:
                copy.write_row(
                    (
                        event.position,
                        UUID(bytes=event.stream),
                        event.version,
                        event.tag,
                        EPOCH + timedelta(microseconds=event.recorded_at_us),
                        event.actor,
                        event.correlation,
                        event.causation,
                        UUID(bytes=event.command_id),
                        event.state,
                    )
                )
                count += 1
        cursor.execute(RECALL)
    return count
