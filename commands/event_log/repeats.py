"""What was answered to commands that a client may repeat, found by the client's key."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct
from psycopg.pq.abc import PGresult

from commands.event_log.columns import instant
from commands.event_log.wire import Statement, rows

READ_RECEIPTS = Statement(
    b"read_receipts",
    """
    SELECT key_id, command_id, request_digest, result, position, recorded_at
    FROM owl_private.receipts WHERE key_id = ANY($1::uuid[])
    """,
)


class Receipt(Struct, frozen=True):
    """What was answered, and to which command."""

    command_id: UUID
    request_digest: bytes
    result: bytes
    position: int
    recorded_at: datetime


def receipts_in(result: PGresult | None) -> dict[UUID, Receipt]:
    """Receipts by the client's key."""
    return {
        UUID(bytes=key): Receipt(
            UUID(bytes=command),
            digest,
            result,
            int.from_bytes(position, "big"),
            instant(recorded_at),
        )
        for key, command, digest, result, position, recorded_at in rows(result)
    }
