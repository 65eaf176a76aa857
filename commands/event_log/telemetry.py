"""The telemetry log: heartbeats and task output, kept for days in a partition per day.

Exactly once: entries carry the sequence of the JetStream message they came in, and the highest
sequence is recorded in the same transaction, so a redelivered message adds nothing, however
batches overlap. Ingest brings a source's messages in their order: one that was jumped over
would be taken for a redelivered one. Law: a message is acknowledged after ``append`` has
returned, and ``append`` returns after the commit is durable. (A commit that does not wait for
the disk would be safe too if ingest resumed by sequence; but one flush per batch costs little
and acknowledgements stay simple.)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import psycopg
from msgspec import Struct
from psycopg import RawCursor
from psycopg.rows import tuple_row

from commands.event_log.batch import TAGS, Envelope
from commands.event_log.columns import (
    BYTEA_OID,
    INT8_OID,
    TEXT_OID,
    TIMESTAMPTZ_OID,
    UUID_OID,
    array,
    array_of_8,
    array_of_16,
    array_of_int8,
    element,
    int8,
    timestamptz,
)
from commands.event_log.engine import LogDatastore
from commands.event_log.feed import Ring, RingFeed
from commands.event_log.history import LogHistory
from commands.event_log.personal import sealed
from commands.event_log.reading import Reading, StoredKeys
from commands.event_log.synchronous import execute
from commands.event_log.wire import Call, Statement
from domain.catalogue import encode
from domain.envelope import Actor, Recorded
from domain.facts import Fact
from domain.ports import EventFeed

SOURCE = "reports"
DAYS_AHEAD = 3

TELEMETRY_LOCK: Final = (7305068, 2)
"""The advisory lock under which positions are given; a switch of read models takes it."""
LOCK = Statement(b"", "SELECT pg_advisory_xact_lock(7305068, 2)")
# One statement after the lock, hence one snapshot that sees all earlier commits.
APPEND = Statement(
    b"",
    """
    WITH progress AS (
        SELECT
            (SELECT notification_id FROM owl_log.telemetry_tracking
             WHERE application_name = 'positions') AS head,
            coalesce((SELECT notification_id FROM owl_log.telemetry_tracking
             WHERE application_name = $10::text), 0) AS tracked
    ), fresh AS (
        SELECT event.*, head + row_number() OVER (ORDER BY nth) AS position
        FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::timestamptz[], $5::text[],
            $6::uuid[], $7::text[], $8::bigint[], $9::bigint[]) WITH ORDINALITY
            AS event (stream, tag, state, recorded_at, actor,
                command, correlation, causation, sequence, nth), progress
        WHERE sequence > tracked
    ), inserted AS (
        INSERT INTO owl_log.telemetry
            (notification_id, originator_id, originator_version, topic, state, recorded_at,
             actor, command_id, correlation_id, causation_id)
        SELECT position, stream, position, tag, state, recorded_at,
            actor, command, correlation, causation
        FROM fresh
    ), counted AS (
        UPDATE owl_log.telemetry_tracking
        SET notification_id = notification_id + (SELECT count(*) FROM fresh)
        WHERE application_name = 'positions'
    ), noted AS (
        INSERT INTO owl_log.telemetry_tracking AS tracking
            (application_name, notification_id)
        VALUES ($10::text, $11::bigint)
        ON CONFLICT (application_name) DO UPDATE
        SET notification_id = greatest(tracking.notification_id, EXCLUDED.notification_id)
    )
    SELECT head, tracked FROM progress
    """,
)
READ_TRACKED = """
    SELECT coalesce(max(notification_id), 0) AS tracked
    FROM owl_log.telemetry_tracking WHERE application_name = %(source)s
"""
ENSURE_PARTITIONS = "SELECT owl_log.ensure_telemetry_partitions(%(first)s, %(days)s)"


class TelemetryEntry(Struct, frozen=True, kw_only=True):
    """One event to be; ``stream_sequence`` is that of the message that brought it."""

    stream: UUID
    fact: Fact
    recorded_at: datetime
    actor: Actor
    command_id: UUID
    correlation_id: str
    causation_id: int | None = None
    stream_sequence: int


class Appended(NamedTuple):
    """``events`` were new; ``position`` is that of the last of them, or the log's head."""

    events: int
    position: int


class TelemetryLog:
    """Blocking; safe from any thread."""

    def __init__(self, datastore: LogDatastore, keys: StoredKeys, conninfo: str) -> None:
        self._conninfo = conninfo
        self._datastore = datastore
        self._keys = keys
        self._reading = Reading(datastore, "telemetry", keys)
        self._ring = Ring()

    def append(
        self, entries: Sequence[TelemetryEntry], *, stream_sequence: int, source: str = SOURCE
    ) -> Appended:
        """Append what is new and note that ``source`` is done up to ``stream_sequence``.

        ``source`` names the incarnation of the JetStream stream: one that was wiped and made
        anew counts from 1 again and needs another name.

        Raises:
            OutOfReach: the log is; nothing is known of the outcome, so append again.
        """
        call = self._append_call(entries, stream_sequence, source)
        try:
            head, tracked = self._commit(call)
        except NoPartition:
            days = {entry.recorded_at.astimezone(UTC).date() for entry in entries}
            for day in days:
                self.ensure_partitions(day)
            head, tracked = self._commit(call)
        fresh = [entry for entry in entries if entry.stream_sequence > tracked]
        self._ring.committed(
            Recorded(
                position=position,
                stream=entry.stream,
                version=position,
                recorded_at=entry.recorded_at,
                actor=str(entry.actor),
                command_id=entry.command_id,
                correlation_id=entry.correlation_id,
                causation_id=entry.causation_id,
                fact=entry.fact,
            )
            for position, entry in enumerate(fresh, head + 1)
        )
        return Appended(len(fresh), head + len(fresh))

    def tracked(self, source: str = SOURCE) -> int:
        """The sequence up to which ``source`` is in the log, 0 when nothing of it is."""
        with self._datastore.reach() as connection:
            row = connection.execute(READ_TRACKED, {"source": source}).fetchone()
        return int(row["tracked"]) if row is not None else 0

    def feed(self) -> EventFeed:
        """The log in order. Positions are gapless; old days may be gone from its front."""
        return RingFeed(self._ring, self._reading.head, self._reading.after)

    def history(self) -> LogHistory:
        """The log in long stretches, past the ring."""
        return LogHistory(self._conninfo, "telemetry", self._keys, self._reading.head)

    def ensure_partitions(self, today: date) -> None:
        """Make the partitions of yesterday, today and the days to come."""
        days = {"first": today - timedelta(days=1), "days": DAYS_AHEAD + 2}
        with self._datastore.reach() as connection:
            connection.execute(ENSURE_PARTITIONS, days)

    def _append_call(
        self, entries: Sequence[TelemetryEntry], stream_sequence: int, source: str
    ) -> Call:
        envelopes = [Envelope(entry) for entry in entries]
        states = [encode(sealed(entry.fact, self._keys.key_of)) for entry in entries]
        return Call(
            APPEND,
            (
                array_of_16(UUID_OID, [entry.stream.bytes for entry in entries]),
                array(TEXT_OID, [TAGS[type(entry.fact)] for entry in entries]),
                array(BYTEA_OID, [element(state) for state in states]),
                array_of_8(TIMESTAMPTZ_OID, [timestamptz(e.recorded_at) for e in entries]),
                array(TEXT_OID, [envelope.actor for envelope in envelopes]),
                array_of_16(UUID_OID, [envelope.command for envelope in envelopes]),
                array(TEXT_OID, [envelope.correlation for envelope in envelopes]),
                array(INT8_OID, [envelope.causation for envelope in envelopes]),
                array_of_int8([entry.stream_sequence for entry in entries]),
                source.encode(),
                int8(stream_sequence),
            ),
        )

    def _commit(self, call: Call) -> tuple[int, int]:
        with self._datastore.reach() as connection:
            try:
                # no pipeline: with some megabytes to send, psycopg's waits for ever for an
                # answer while the server waits for the rest of the question
                with connection.transaction():
                    cursor = RawCursor(connection, row_factory=tuple_row)
                    execute(cursor, Call(LOCK, ()))
                    execute(cursor, call)
                    head, tracked = cursor.fetchall()[0]
            except psycopg.errors.CheckViolation as error:
                raise NoPartition(str(error)) from error
        return head, tracked


class NoPartition(Exception):
    """The day of an entry has no partition yet."""
