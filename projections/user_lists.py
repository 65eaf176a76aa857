"""Pages of users for administrators, the newest first. Totals come from the tallies."""

from __future__ import annotations

from typing import Any, Final, LiteralString

from psycopg import AsyncConnection

from domain.accounts.events import Role
from projections.page import Found, Page, offset, one
from projections.users import UserRow

PAGE: Final = """
    SELECT json_build_object(
        'total', (SELECT coalesce(sum(n), 0) FROM read.user_totals WHERE {where}),
        'items', coalesce((
            SELECT json_agg(to_json(found)) FROM (
                SELECT the_user.* FROM read.users AS the_user
                JOIN (
                    SELECT user_id FROM read.users WHERE {where}
                    ORDER BY created_at DESC, user_id DESC
                    LIMIT %(page_size)s OFFSET %(offset)s
                ) AS page USING (user_id)
                ORDER BY created_at DESC, user_id DESC
            ) AS found
        ), '[]'::json)
    )::text
"""
_BY_ROLE: Final = "role = %(role)s"
_WHERES: Final[dict[tuple[bool, bool | None], LiteralString]] = {
    (False, None): "true",
    (False, True): "is_active",
    (False, False): "NOT is_active",
    (True, None): _BY_ROLE,
    (True, True): _BY_ROLE + " AND is_active",
    (True, False): _BY_ROLE + " AND NOT is_active",
}
PAGES: Final = {asked: PAGE.format(where=where) for asked, where in _WHERES.items()}
"""By whether a role is asked for, and which activity."""


async def user_page(
    connection: AsyncConnection[Any],
    *,
    role: Role | None = None,
    is_active: bool | None = None,
    page: int,
    page_size: int,
) -> Page[UserRow]:
    """One page of the users with this role and activity; ``None`` means any."""
    statement = PAGES[role is not None, is_active]
    parameters: dict[str, str | int | None] = {
        "role": role,
        "page_size": page_size,
        "offset": offset(page, page_size),
    }
    found = await one(connection, Found[UserRow], statement, parameters)
    assert found is not None, "an aggregate gives one row"
    return Page(items=found.items, total=found.total, page=page, page_size=page_size)
