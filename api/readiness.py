"""How far the read models are behind the log, asked of Postgres itself."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct
from psycopg import AsyncConnection

STANDING: Final = """
SELECT
    coalesce(max(head.position - checkpoint.position), 0) AS behind,
    coalesce(array_agg(read_model ORDER BY read_model) FILTER (WHERE stopped_at IS NOT NULL),
        '{}') AS stopped
FROM owl_read.checkpoints AS checkpoint,
    (SELECT coalesce(max(notification_id), 0) AS position FROM owl_log.events) AS head
WHERE state = 'live' AND source = 'business'
"""


class Standing(Struct, frozen=True, kw_only=True):
    """``behind`` counts the events that the slowest read model has yet to fold."""

    behind: int
    stopped: tuple[str, ...]


async def read_model_standing(connection: AsyncConnection[Any]) -> Standing:
    """Where the live read models of the business log stand."""
    row = await (await connection.execute(STANDING)).fetchone()
    assert row is not None, "an aggregate gives one row"
    return Standing(behind=row[0], stopped=tuple(row[1]))
