"""The events and rows of one commit, kept as encoded elements until it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from msgspec import Struct

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
    timestamptz,
)
from commands.event_log.secrets import Secrets
from commands.event_log.wire import Call, Statement
from commands.rows import (
    Credential,
    CredentialChange,
    Maintenance,
    SubjectErasure,
    SubjectKey,
)
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
INSERT_CREDENTIAL = Statement(
    b"insert_credential",
    """
    INSERT INTO owl_private.credentials
        (user_id, email_claim, password_hash, token_version, role, is_active)
    VALUES ($1::uuid, $2::uuid, $3::text, $4::bigint, $5::text, $6::boolean)
    """,
)
CHANGE_CREDENTIAL = Statement(
    b"change_credential",
    """
    UPDATE owl_private.credentials
    SET token_version = $2::bigint, password_hash = coalesce($3::text, password_hash),
        role = coalesce($4::text, role), is_active = coalesce($5::boolean, is_active)
    WHERE user_id = $1::uuid
    """,
)
INSERT_SUBJECT_KEY = Statement(
    b"insert_subject_key",
    "INSERT INTO owl_private.subject_keys (user_id, key) VALUES ($1::uuid, $2::bytea)",
)
ERASE_SUBJECT = Statement(
    b"erase_subject",
    """
    WITH destroyed AS (DELETE FROM owl_private.subject_keys WHERE user_id = $1::uuid)
    DELETE FROM owl_private.credentials WHERE user_id = $1::uuid
    """,
)
SET_MAINTENANCE = Statement(
    b"set_maintenance", "UPDATE owl_private.maintenance SET is_on = $1::boolean"
)
STATEMENTS = (
    *(LOCK, REQUIRE_HEADS, REQUIRE_LEASE, INSERT_EVENTS, INSERT_RECEIPTS),
    *(INSERT_CREDENTIAL, CHANGE_CREDENTIAL, INSERT_SUBJECT_KEY, ERASE_SUBJECT),
    SET_MAINTENANCE,
)

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


def row_call(row: Struct, secrets: Secrets) -> Call:
    """The statement that keeps a row.

    Raises:
        TypeError: there is no table for it.
    """
    match row:
        case Credential():
            return Call(
                INSERT_CREDENTIAL,
                (
                    row.user_id.bytes,
                    row.email_claim.bytes,
                    row.password_hash.encode(),
                    int8(row.token_version),
                    row.role.encode(),
                    boolean(row.is_active),
                ),
            )
        case CredentialChange(password_hash=password_hash, role=role, is_active=is_active):
            return Call(
                CHANGE_CREDENTIAL,
                (
                    row.user_id.bytes,
                    int8(row.token_version),
                    None if password_hash is None else password_hash.encode(),
                    None if role is None else role.encode(),
                    None if is_active is None else boolean(is_active),
                ),
            )
        case SubjectKey(user_id=user_id, key=key):
            return Call(INSERT_SUBJECT_KEY, (user_id.bytes, secrets.wrap_key(user_id, key)))
        case SubjectErasure(user_id=user_id):
            return Call(ERASE_SUBJECT, (user_id.bytes,))
        case Maintenance(is_on=is_on):
            return Call(SET_MAINTENANCE, (boolean(is_on),))
        case _:
            raise TypeError(f"no table for a {type(row).__name__}")


def boolean(value: bool) -> bytes:  # noqa: FBT001 - the value itself, no flag
    """A boolean."""
    return b"\x01" if value else b"\x00"
