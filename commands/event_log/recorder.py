"""The library's recorder on our table: one short advisory lock instead of a table lock.

The library locks the whole table and notifies, once per append; both keep PostgreSQL from
sharing one disk flush, and the table lock also waits for ANALYZE. An advisory lock held by
every appender gives the same order. Selects give the envelope along with the event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg import RawCursor
from psycopg.sql import SQL, Composed

from commands.event_log.batch import Appended, Batch, Envelope
from commands.event_log.columns import element
from commands.event_log.mapper import StoredRecord
from commands.event_log.synchronous import execute

SELECT = SQL("""
    SELECT originator_id, originator_version, topic, state, notification_id AS id,
        recorded_at, actor, command_id, correlation_id, causation_id
    FROM owl_log.events WHERE true
""")


class EventRecorder(PostgresApplicationRecorder):
    """The business log as the library sees it. The writer appends by its own connection."""

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Append; all or nothing, with positions that follow the log's last.

        Raises:
            IntegrityError: a stream has moved on.
        """
        if not stored_events:
            return []
        batch = Batch()
        records = [event for event in stored_events if isinstance(event, StoredRecord)]
        assert len(records) == len(stored_events), "without an envelope nothing is recorded"
        for event in records:
            assert isinstance(event.originator_id, UUID)
            batch.events.append(
                Appended(
                    event.originator_id,
                    event.originator_version,
                    element(event.topic.encode()),
                    event.state,
                    Envelope(event),
                )
            )
        with self.datastore.get_connection() as connection:
            return append(connection, batch, records[0])

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The events of one stream."""
        return self._select(
            SELECT
            + SQL(" AND originator_id = %(stream)s")
            + (SQL(" AND originator_version > %(gt)s") if gt is not None else SQL(""))
            + (SQL(" AND originator_version <= %(lte)s") if lte is not None else SQL(""))
            + (SQL(" ORDER BY originator_version") + (SQL(" DESC") if desc else SQL("")))
            + SQL(" LIMIT %(limit)s"),
            {"stream": originator_id, "gt": gt, "lte": lte, "limit": limit},
        )

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[StoredRecord]:
        """The events of the whole log, in order."""
        after = 0 if start is None else start - 1 if inclusive_of_start else start
        return self._select(
            SELECT
            + SQL(" AND notification_id > %(after)s")
            + (SQL(" AND notification_id <= %(stop)s") if stop is not None else SQL(""))
            + (SQL(" AND topic = ANY(%(topics)s)") if topics else SQL(""))
            + SQL(" ORDER BY notification_id LIMIT %(limit)s"),
            {"after": after, "stop": stop, "topics": list(topics), "limit": limit},
        )

    def _select(self, statement: Composed, parameters: dict[str, Any]) -> list[StoredRecord]:
        with self.datastore.get_connection() as connection:
            rows = connection.execute(statement, parameters, prepare=True, binary=True)
            return [StoredRecord(**row) for row in rows]


def append(connection: psycopg.Connection[Any], batch: Batch, first: StoredRecord) -> list[int]:
    """Append a batch; gives the positions.

    No pipeline: with some megabytes to send, psycopg's waits for ever for an answer while the
    server waits for the rest of the question.

    Raises:
        IntegrityError: a stream has moved on.
    """
    with connection.transaction():
        cursor = RawCursor(connection)
        for call in batch.calls((), first.recorded_at):
            execute(cursor, call)
    return [row["notification_id"] for row in cursor.fetchall()]
