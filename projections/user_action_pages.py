"""Queries of user actions: pages, the newest first, and lines in order for a download.

Totals come from the tallies.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection

from domain.catalogue import personal_fields, private_fields
from projections.event_lines import FACT, SAID, TOLD, kinds
from projections.page import Found, Page, offset, one, reach_of
from projections.user_actions import ACTIONS, UserActionRow

DURING: Final = "recorded_at >= %(start)s AND recorded_at < %(end)s"
BEYOND: Final = "(recorded_at, position) > (%(recorded_at)s, %(position)s)"
DAYS: Final = "day >= %(first_day)s AND day <= %(last_day)s"
# by name: rows of an earlier version have columns that the event has as well
KEPT: Final = "position, actor_id, subject_id, recorded_at"
ABOUT: Final = """
    subject_id = %(user_id)s AND subject_id <> '00000000-0000-0000-0000-000000000000'
"""
SHOWN: Final = """
    SELECT place.position, place.actor_id, place.subject_id, place.recorded_at,
        correlation_id AS request_id, {said},
        (SELECT username FROM read.users WHERE user_id = place.actor_id) AS actor_username,
        (SELECT username FROM read.users WHERE user_id = place.subject_id)
            AS subject_username
    FROM place, LATERAL (
        SELECT *, {fact} AS fact FROM owl_log.events
        WHERE notification_id = place.position
        LIMIT 1  -- one lookup for each, whatever length of page is planned for
    ) AS event
"""
PAGE: Final = """
    WITH {told}, page AS (
        SELECT * FROM (
            {page} ORDER BY recorded_at DESC, position DESC LIMIT {{reach}}
        ) AS reached ORDER BY recorded_at DESC, position DESC
        LIMIT %(page_size)s OFFSET %(offset)s
    ), place AS (
        SELECT action.* FROM page, LATERAL (
            SELECT {kept} FROM read.user_actions
            WHERE recorded_at = page.recorded_at AND position = page.position
            LIMIT 1  -- as for the event
        ) AS action
    )
    SELECT json_build_object(
        'total', ({total}),
        'items', coalesce((
            SELECT json_agg(to_json(found)) FROM (
                {shown} ORDER BY place.recorded_at DESC, place.position DESC
            ) AS found
        ), '[]'::json)
    )::text
"""
OF_ALL: Final = "SELECT recorded_at, position FROM read.user_actions WHERE {during}"
OF_USER: Final = """
    (
        SELECT recorded_at, position FROM read.user_actions
        WHERE actor_id = %(user_id)s AND {during}
        ORDER BY recorded_at DESC, position DESC LIMIT {{reach}}
    ) UNION ALL (
        SELECT recorded_at, position FROM read.user_actions WHERE {about} AND {during}
        ORDER BY recorded_at DESC, position DESC LIMIT {{reach}}
    )
"""
TOTAL: Final = "SELECT coalesce(sum(n), 0) FROM read.action_counts WHERE {days}"
TOTAL_OF_USER: Final = """
    SELECT coalesce(sum(n), 0) + (
        SELECT coalesce(sum(n), 0) FROM read.subject_action_counts
        WHERE subject_id = %(user_id)s
    ) FROM read.actor_action_totals WHERE actor_id = %(user_id)s
"""
TOTAL_OF_USER_ON_DAYS: Final = """
    SELECT coalesce(sum(n), 0) + (
        SELECT coalesce(sum(n), 0) FROM read.subject_action_counts
        WHERE subject_id = %(user_id)s AND {days}
    ) FROM read.actor_action_counts WHERE actor_id = %(user_id)s AND {days}
"""
AFTER: Final = """
    WITH {told}, place AS ({places} ORDER BY recorded_at, position LIMIT %(limit)s)
    SELECT coalesce(json_agg(to_json(found)), '[]')::text FROM (
        {shown} ORDER BY place.recorded_at, place.position
    ) AS found
"""
PLACES: Final = "SELECT {kept} FROM read.user_actions WHERE {during} AND {beyond}"
PLACES_OF_USER: Final = """
    (
        SELECT {kept} FROM read.user_actions
        WHERE actor_id = %(user_id)s AND {during} AND {beyond}
        ORDER BY recorded_at, position LIMIT %(limit)s
    ) UNION ALL (
        SELECT {kept} FROM read.user_actions WHERE {about} AND {during} AND {beyond}
        ORDER BY recorded_at, position LIMIT %(limit)s
    )
"""
_PARTS: Final = {
    "during": DURING,
    "beyond": BEYOND,
    "days": DAYS,
    "about": ABOUT,
    "kept": KEPT,
}


_SHOWN: Final = SHOWN.format(said=SAID, fact=FACT)


def _page(total: str, page: str) -> str:
    parts = {"total": total.format_map(_PARTS), "page": page.format_map(_PARTS)}
    return PAGE.format(told=TOLD, shown=_SHOWN, kept=KEPT, **parts)


def _after(places: str) -> str:
    return AFTER.format(told=TOLD, shown=_SHOWN, places=places.format_map(_PARTS))


STATEMENTS: Final = {
    "page": _page(TOTAL, OF_ALL),
    "page of a user": _page(TOTAL_OF_USER, OF_USER),
    "page of a user, on days": _page(TOTAL_OF_USER_ON_DAYS, OF_USER),
    "after": _after(PLACES),
    "after, of a user": _after(PLACES_OF_USER),
}
_LEFT_OUT: Final = frozenset(
    {
        *("user_id", "username_claim", "postings", "sealed", "token_digest"),
        *("title", "description", "config", "checksum"),
    }
)
ABOUT_ACTIONS: Final[dict[str, Any]] = {
    "kinds": kinds(
        {fact: _LEFT_OUT.union(personal_fields(fact), private_fields(fact)) for fact in ACTIONS}
    )
}
"""A parameter of every statement. What is personal is shown to nobody."""
_FIRST_DAY: Final = date(2000, 1, 1)
_LAST_DAY: Final = date(2199, 12, 31)


class ActionCursor(Struct, frozen=True):
    """The place of an action in the order of recording."""

    recorded_at: datetime
    position: int


class UserAction(UserActionRow, frozen=True, kw_only=True):
    """One action, what it was, and the names that its people have now."""

    tag: str
    actor: str
    request_id: str
    data: dict[str, Any]
    event_id: str
    actor_username: str | None
    subject_username: str | None

    @property
    def cursor(self) -> ActionCursor:
        """What to give for the actions after this one."""
        return ActionCursor(self.recorded_at, self.position)


async def user_action_page(
    connection: AsyncConnection[Any],
    *,
    user_id: UUID | None = None,
    start_date: date | None = None,
    end_date: date | None = None,
    page: int,
    page_size: int,
) -> Page[UserAction]:
    """One page of everybody's actions, or of those by and about one user, the newest first.

    Days are UTC days, both included.
    """
    parameters = _during(start_date, end_date) | {
        "user_id": user_id,
        "page_size": page_size,
        "offset": offset(page, page_size),
    }
    of_all_days = start_date is None and end_date is None
    of_user = "page of a user" if of_all_days else "page of a user, on days"
    statement = STATEMENTS["page" if user_id is None else of_user].replace(
        "{reach}", reach_of(page, page_size)
    )
    found = await one(connection, Found[UserAction], statement, parameters)
    assert found is not None, "an aggregate gives one row"
    return Page(items=found.items, total=found.total, page=page, page_size=page_size)


async def user_actions_after(
    connection: AsyncConnection[Any],
    cursor: ActionCursor | None = None,
    *,
    user_id: UUID | None = None,
    start_date: date | None = None,
    end_date: date | None = None,
    limit: int,
) -> tuple[UserAction, ...]:
    """The actions that follow ``cursor``, the oldest first: what a download reads."""
    during = _during(start_date, end_date)
    parameters = during | {
        "user_id": user_id,
        "recorded_at": cursor.recorded_at if cursor else during["start"],
        "position": cursor.position if cursor else 0,
        "limit": limit,
    }
    statement = STATEMENTS["after" if user_id is None else "after, of a user"]
    found = await one(connection, tuple[UserAction, ...], statement, parameters)
    assert found is not None, "an aggregate gives one row"
    return found


def _during(start_date: date | None, end_date: date | None) -> dict[str, Any]:
    first_day, last_day = start_date or _FIRST_DAY, end_date or _LAST_DAY
    return ABOUT_ACTIONS | {
        "first_day": first_day,
        "last_day": last_day,
        "start": datetime.combine(first_day, time(), UTC),
        "end": datetime.combine(last_day + timedelta(days=1), time(), UTC),
    }
