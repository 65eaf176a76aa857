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

# What is left of another log would be taken for this one's: a signature of its tree, a way in.
LEFT: Final = """
    SELECT name FROM (
        SELECT 'owl_log.events', EXISTS (SELECT FROM owl_log.events)
        UNION ALL SELECT 'owl_log.telemetry', EXISTS (SELECT FROM owl_log.telemetry)
        UNION ALL SELECT 'owl_log.tiles', EXISTS (SELECT FROM owl_log.tiles)
        UNION ALL SELECT 'owl_log.signed_checkpoints',
            EXISTS (SELECT FROM owl_log.signed_checkpoints)
        UNION ALL SELECT 'owl_log.loop_checkpoints',
            EXISTS (SELECT FROM owl_log.loop_checkpoints WHERE position > 0)
        UNION ALL SELECT 'owl_private.credentials', EXISTS (SELECT FROM owl_private.credentials)
        UNION ALL SELECT 'owl_private.subject_keys',
            EXISTS (SELECT FROM owl_private.subject_keys)
        UNION ALL SELECT 'owl_private.receipts', EXISTS (SELECT FROM owl_private.receipts)
        UNION ALL SELECT 'owl_private.snapshots', EXISTS (SELECT FROM owl_private.snapshots)
    ) AS looked (name, is_used) WHERE is_used
"""
READ_MODELS: Final = "SELECT to_regclass('owl_read.checkpoints') IS NOT NULL"
PROJECTED: Final = """
    SELECT 'rm_' || read_model || '_g' || generation FROM owl_read.checkpoints
    WHERE position > 0
"""
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
    """The database holds something of a log already."""


def import_log(conninfo: str, origin: str, events: Iterable[StoredEvent]) -> int:
    """Store ``events``, all or none; how many those were. The tables must be there.

    Raises:
        LogNotEmpty: it is not the first thing that the database is told.
    """
    count = 0
    with psycopg.connect(conninfo) as connection, connection.cursor() as cursor:
        cursor.execute(LOCK.sql)
        left = cursor.execute(LEFT).fetchall()
        if cursor.execute(READ_MODELS).fetchone() == (True,):
            left += cursor.execute(PROJECTED).fetchall()
        if left:
            tables = ", ".join(name for (name,) in left)
            raise LogNotEmpty(f"the database is in use, {tables}: import into an empty one")
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
