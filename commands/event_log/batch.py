"""The events and rows of one commit, kept as encoded elements until it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from commands.event_log.columns import (
    BYTEA_OID,
    INT8_OID,
    NULL,
    TEXT_OID,
    UUID_OID,
    array,
    array_of_16,
    array_of_int8,
    element,
    int8,
    of_element,
    timestamptz,
)
from commands.event_log.wire import Call, Statement
from domain.catalogue import BY_TAG
from domain.envelope import Fence, Repeat

APPEND_LOCK: Final = (7305068, 1)
"""The advisory lock under which positions are given; a switch of read models takes it."""
LOCK = Statement(b"lock", "SELECT pg_advisory_xact_lock(7305068, 1)")
REQUIRE_HEADS = Statement(
    b"require_heads", "SELECT owl_log.require_heads($1::uuid[], $2::bigint[])"
)
REQUIRE_LEASE = Statement(b"require_lease", "SELECT owl_log.require_lease($1::text, $2::int8)")
# READ COMMITTED: this statement's snapshot is taken after LOCK was granted, so max() sees every
# commit before it. Sent under the lock and nowhere else, which makes positions gapless.
INSERT_EVENTS = Statement(
    b"insert_events",
    """
    INSERT INTO owl_log.events
        (notification_id, originator_id, originator_version, topic, state, recorded_at,
         actor, command_id, correlation_id, causation_id)
    SELECT (SELECT coalesce(max(notification_id), 0) FROM owl_log.events) + nth,
        stream, version, tag, state, $5::timestamptz, actor, command, correlation, causation
    FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bytea[],
        $6::text[], $7::uuid[], $8::text[], $9::bigint[]) WITH ORDINALITY
        AS event (stream, version, tag, state, actor, command, correlation, causation, nth)
    RETURNING notification_id
    """,
)
# The same for one: without arrays to take apart.
INSERT_EVENT = Statement(
    b"insert_event",
    """
    INSERT INTO owl_log.events
        (notification_id, originator_id, originator_version, topic, state, recorded_at,
         actor, command_id, correlation_id, causation_id)
    VALUES ((SELECT coalesce(max(notification_id), 0) FROM owl_log.events) + 1,
        $1::uuid, $2::bigint, $3::text, $4::bytea, $5::timestamptz,
        $6::text, $7::uuid, $8::text, $9::bigint)
    RETURNING notification_id
    """,
)
# $5: which of the commit's events was the command's last (0: none), $6: how many it has
INSERT_RECEIPTS = Statement(
    b"insert_receipts",
    """
    INSERT INTO owl_private.receipts
        (key_id, command_id, request_digest, result, position, recorded_at)
    SELECT key, command, digest, result,
        CASE nth WHEN 0 THEN 0
        ELSE (SELECT max(notification_id) FROM owl_log.events) - $6::bigint + nth END,
        $7::timestamptz
    FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bytea[], $5::bigint[])
        AS receipt (key, command, digest, result, nth)
    """,
)
INSERTS = (INSERT_EVENT, INSERT_EVENTS)
STATEMENTS = (LOCK, REQUIRE_HEADS, REQUIRE_LEASE, *INSERTS, INSERT_RECEIPTS)

TAGS = {kind: element(tag.encode()) for tag, kind in BY_TAG.items()}


class Enveloped(Protocol):
    """Whatever says who, by which command and because of what: a context, a recorded event."""

    @property
    def actor(self) -> object:
        """Shown as ``kind:name``."""
        ...

    @property
    def command_id(self) -> UUID:
        """Identifies the command for ever."""
        ...

    @property
    def correlation_id(self) -> str:
        """The request that started it all."""
        ...

    @property
    def causation_id(self) -> int | None:
        """The position of the event that caused it."""
        ...


class Envelope:
    """What all events of one command share, encoded once."""

    __slots__ = ("actor", "causation", "command", "correlation")

    def __init__(self, context: Enveloped) -> None:
        causation = context.causation_id
        self.actor = element(str(context.actor).encode())
        self.command = context.command_id.bytes
        self.correlation = element(context.correlation_id.encode())
        self.causation = NULL if causation is None else element(int8(causation))


class Appended(NamedTuple):
    """One event of a commit; ``tag`` is one of ``TAGS``, ``state`` the fact as stored."""

    stream: UUID
    version: int
    tag: bytes
    state: bytes
    envelope: Envelope


class Batch:
    """Grows by event; ``calls`` is the whole commit, in the order the server has to do it."""

    def __init__(self) -> None:
        self.events: list[Appended] = []
        self._rows: list[Call] = []
        self._receipts: list[tuple[Repeat, UUID, bytes, int]] = []
        self.fences: set[Fence] = set()

    def __len__(self) -> int:
        return len(self.events)

    @property
    def writes(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.events or self._rows or self._receipts)

    def rows(self, calls: Sequence[Call]) -> None:
        """Add rows outside the log: what ``row_call`` made of them."""
        self._rows += calls

    def receipt(self, repeat: Repeat, command_id: UUID, result: bytes, events: int) -> None:
        """Add the receipt of the command whose ``events`` events were added last."""
        nth = len(self.events) if events else 0
        self._receipts.append((repeat, command_id, result, nth))

    def calls(self, guards: Sequence[tuple[UUID, int]], recorded_at: datetime) -> list[Call]:
        """The commit. ``guards``: streams that must still be at that version."""
        checks = []
        if guards:
            streams = array_of_16(UUID_OID, [stream.bytes for stream, _ in guards])
            versions = array_of_int8([version for _, version in guards])
            checks.append(Call(REQUIRE_HEADS, (streams, versions)))
        if not self.writes:
            return checks
        calls = [Call(LOCK, ()), *checks]
        calls += [
            Call(REQUIRE_LEASE, (fence.name.encode(), int8(fence.epoch)))
            for fence in self.fences
        ]
        if self.events:
            calls.append(self._insert_events(recorded_at))
        calls += self._rows
        if self._receipts:
            calls.append(self._insert_receipts(recorded_at))
        return calls

    def _insert_events(self, recorded_at: datetime) -> Call:
        if len(self) == 1:
            return self._insert_event(recorded_at)
        streams, versions, tags, states, envelopes = zip(*self.events, strict=True)
        return Call(
            INSERT_EVENTS,
            (
                array_of_16(UUID_OID, [stream.bytes for stream in streams]),
                array_of_int8(versions),
                array(TEXT_OID, tags),
                array(BYTEA_OID, [element(state) for state in states]),
                timestamptz(recorded_at),
                array(TEXT_OID, [envelope.actor for envelope in envelopes]),
                array_of_16(UUID_OID, [envelope.command for envelope in envelopes]),
                array(TEXT_OID, [envelope.correlation for envelope in envelopes]),
                array(INT8_OID, [envelope.causation for envelope in envelopes]),
            ),
        )

    def _insert_event(self, recorded_at: datetime) -> Call:
        ((stream, version, tag, state, envelope),) = self.events
        return Call(
            INSERT_EVENT,
            (
                stream.bytes,
                int8(version),
                of_element(tag),
                state,
                timestamptz(recorded_at),
                of_element(envelope.actor),
                envelope.command,
                of_element(envelope.correlation),
                of_element(envelope.causation),
            ),
        )

    def _insert_receipts(self, recorded_at: datetime) -> Call:
        repeats, commands, results, nths = zip(*self._receipts, strict=True)
        return Call(
            INSERT_RECEIPTS,
            (
                array_of_16(UUID_OID, [repeat.key_id.bytes for repeat in repeats]),
                array_of_16(UUID_OID, [command.bytes for command in commands]),
                array(BYTEA_OID, [element(repeat.digest) for repeat in repeats]),
                array(BYTEA_OID, [element(result) for result in results]),
                array_of_int8(nths),
                int8(len(self)),
                timestamptz(recorded_at),
            ),
        )
