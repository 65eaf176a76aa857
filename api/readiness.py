"""How far the read models and the notary are behind the log, asked of Postgres itself."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from msgspec import Struct
from psycopg import AsyncConnection

from projections.catalogue import READ_MODELS
from projections.fingerprint import fingerprints

STANDING: Final = """
SELECT
    coalesce(max(head.position - checkpoint.position)
        FILTER (WHERE source = 'business'), 0) AS behind,
    coalesce(array_agg(read_model ORDER BY read_model)
        FILTER (WHERE source = 'business' AND stopped_at IS NOT NULL), '{}') AS stopped,
    coalesce(array_agg(read_model ORDER BY read_model)
        FILTER (WHERE fingerprint <> mine), '{}') AS outdated,
    coalesce(max(head.position), 0)
        - (SELECT coalesce(max(size), 0) FROM owl_log.signed_checkpoints) AS unsigned
FROM owl_read.checkpoints AS checkpoint
    LEFT JOIN unnest(%(names)s::text[], %(fingerprints)s::text[]) AS program (read_model, mine)
        USING (read_model),
    (SELECT coalesce(max(notification_id), 0) AS position FROM owl_log.events) AS head
WHERE state = 'live'
"""


class Standing(Struct, frozen=True, kw_only=True):
    """``behind`` counts the events that the slowest read model has yet to fold.

    ``outdated`` were made by other folds than this program's, and stand still here.
    ``unsigned`` counts the events that no checkpoint of the notary covers yet.
    """

    behind: int
    stopped: tuple[str, ...]
    outdated: tuple[str, ...]
    unsigned: int


async def read_model_standing(connection: AsyncConnection[Any]) -> Standing:
    """Where the live read models stand; how far behind, those of the business log."""
    prints = await asyncio.to_thread(fingerprints, READ_MODELS)
    program = {"names": list(prints), "fingerprints": list(prints.values())}
    row = await (await connection.execute(STANDING, program)).fetchone()
    assert row is not None, "an aggregate gives one row"
    behind, stopped, outdated, unsigned = row
    return Standing(
        behind=behind, stopped=tuple(stopped), outdated=tuple(outdated), unsigned=unsigned
    )
