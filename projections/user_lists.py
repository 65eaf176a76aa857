"""Pages of users for administrators, the newest first. Totals come from the tallies.

The tallies also say which standings (role, activity) there are: a filtered page is merged from
the beginnings of those that match, so that nothing is read to be left out.
"""

from __future__ import annotations

from typing import Any, Final, LiteralString

from psycopg import AsyncConnection

from domain.accounts.events import Role
from projections.page import Found, Page, offset, one, reach_of
from projections.users import UserRow

PAGE: Final = """
    WITH matching AS MATERIALIZED (
        SELECT role, is_active, n FROM read.user_totals WHERE n > 0 AND {where}
    ), page AS (
        {page}
    )
    SELECT json_build_object(
        'total', (SELECT coalesce(sum(n), 0) FROM matching),
        'items', coalesce((
            SELECT json_agg(to_json(found)) FROM (
                SELECT the_user.* FROM page, LATERAL (
                    SELECT * FROM read.users WHERE user_id = page.user_id
                    LIMIT 1  -- one lookup for each, whatever length of page is planned for
                ) AS the_user
                ORDER BY created_at DESC, user_id DESC
            ) AS found
        ), '[]'::json)
    )::text
"""
OF_ALL: Final = """
    SELECT user_id FROM (
        SELECT user_id, created_at FROM read.users
        ORDER BY created_at DESC, user_id DESC LIMIT {reach}
    ) AS of_all
    ORDER BY created_at DESC, user_id DESC LIMIT %(page_size)s OFFSET %(offset)s
"""
OF_EACH_STANDING: Final = """
    SELECT user_id
    FROM matching, LATERAL (
        SELECT user_id, created_at FROM read.users AS the_user
        WHERE the_user.role = matching.role AND the_user.is_active = matching.is_active
        ORDER BY created_at DESC, user_id DESC LIMIT {reach}
    ) AS of_standing
    ORDER BY created_at DESC, user_id DESC LIMIT %(page_size)s OFFSET %(offset)s
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
PAGES: Final = {
    asked: PAGE.format(where=where, page=OF_ALL if where == "true" else OF_EACH_STANDING)
    for asked, where in _WHERES.items()
}
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
    statement = PAGES[role is not None, is_active].replace("{reach}", reach_of(page, page_size))
    parameters: dict[str, str | int | None] = {
        "role": role,
        "page_size": page_size,
        "offset": offset(page, page_size),
    }
    found = await one(connection, Found[UserRow], statement, parameters)
    assert found is not None, "an aggregate gives one row"
    return Page(items=found.items, total=found.total, page=page, page_size=page_size)
