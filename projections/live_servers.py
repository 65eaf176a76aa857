"""Which servers are live at a moment: online by the log, and heard not too long ago.

That a server went offline is a worker's fact, and while no worker runs nobody says it. So
queries go by the newest heartbeat too, against a clock that is handed in: rows stay what the
logs make them, and nothing old is ever shown as live.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from domain.system.configuration import CONFIGURATION

LIVE_SERVERS: Final = """
    WITH limits AS (
        SELECT %(now)s::timestamptz - make_interval(secs => coalesce(
            (SELECT offline_after_s FROM read.configuration), %(offline_after_s)s
        )::float8) AS heard_since
    ), farm AS (
        SELECT server.*,
            greatest(received_at, last_seen_at) AS last_heartbeat_at,
            is_online AND greatest(received_at, last_seen_at) >= heard_since AS is_live,
            is_online AND coalesce(received_at >= heard_since, false) AS shows_figures,
            figures.cpu_percent, figures.memory_percent,
            figures.gpus AS gpu_figures, figures.running
        FROM limits
        CROSS JOIN read.gpu_servers AS server
        LEFT JOIN read.gpu_status AS figures USING (server_id)
        WHERE removed_at IS NULL
    )
"""
"""The servers that were not removed; a query goes on with its own part."""


def at(now: datetime) -> dict[str, Any]:
    """The parameters of ``LIVE_SERVERS``."""
    return {"now": now, "offline_after_s": CONFIGURATION.initial.offline_after_s}
