"""The lines that events make in the logs of tasks, as SQL that both their queries share.

What the read model ``task_events`` has passed is shown and nothing beyond, so that a line
never comes between others that somebody has been shown.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from domain.facts import tag_of
from projections.event_lines import FACT, SAID, TOLD, kinds
from projections.task_events import LEVELS

LEFT_OUT: Final = frozenset(
    {"task_id", "user_id", "attempt", "title", "description", "config", "result", "postings"}
)
"""Said elsewhere, or too long for a line."""
ABOUT_EVENTS: Final[dict[str, Any]] = {
    "kinds": kinds(dict.fromkeys(LEVELS, LEFT_OUT)),
    "levels": msgspec.json.encode(
        {tag_of(kind): level for kind, level in LEVELS.items()}
    ).decode(),
    "tags": [tag_of(kind) for kind in LEVELS],
}
"""Parameters of every statement with one of these parts."""

_AND_SHOWN: Final = """
    , leveled AS MATERIALIZED (
        SELECT %(levels)s::jsonb AS levels, %(tags)s::text[] AS tags
    ), shown AS MATERIALIZED (
        SELECT position AS upto FROM owl_read.checkpoints
        WHERE read_model = 'task_events' AND state = 'live'
    )
"""
_EVENTS: Final = """
    -- found by the stream before a time is asked for: else a plan may go by the index in time,
    -- which has all that was recorded since, of every stream
    events AS MATERIALIZED (
        SELECT notification_id AS position, recorded_at FROM owl_log.events
        WHERE originator_id = %(task_id)s
            AND topic = ANY ((SELECT tags FROM leveled)::text[])
            AND notification_id <= (SELECT upto FROM shown)
        UNION ALL
        SELECT position, event.recorded_at
        FROM read.task_events JOIN owl_log.events AS event ON notification_id = position
        -- rows of an earlier version are of the task's own stream too, and of more columns
        WHERE task_id = %(task_id)s AND originator_id <> %(task_id)s
    )
"""
_AND_SAID: Final = """
    , (SELECT levels FROM leveled) ->> topic AS level,
    coalesce((fact ->> 'attempt')::bigint, 1) AS attempt
"""
PARTS_OF_EVENTS: Final = {
    "shown": TOLD + _AND_SHOWN,
    "events": _EVENTS,
    "said": SAID + _AND_SAID,
    "fact": FACT,
}
"""What names in braces stand for; ``shown`` comes before the others, ``said`` over ``fact``."""
