"""Queries of tasks: one by its id, and pages of them.

A page's keys are found in indexes alone and only then are its rows read, so that a deep page
costs a walk along them and no more. Totals come from the tallies, which also say which kinds of
task there are: nothing is read to be left out by a filter.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, Literal, LiteralString
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection

from domain.tasks.lifecycle import Status
from projections.page import Found, Page, offset, one, reach_of
from projections.tasks import ListedTask, TaskRow

SortBy = Literal["created_at", "updated_at", "priority"]
SortOrder = Literal["asc", "desc"]


class TaskFilter(Struct, frozen=True, kw_only=True):
    """Which tasks, in which order; ``user_id=None`` means everybody's."""

    user_id: UUID | None
    status: Status | None = None
    task_type: str | None = None
    sort_by: SortBy = "created_at"
    sort_order: SortOrder = "desc"
    page: int = 1
    page_size: int = 20


BY_ID: Final = """
    SELECT to_json(task)::text FROM read.tasks AS task
    WHERE task_id = %(task_id)s AND deleted_at IS NULL
"""

MATCHING: Final = """
    WITH matching AS MATERIALIZED (
        SELECT status, task_type, n FROM {counters} WHERE NOT is_deleted AND n > 0 {where}
    ), page AS (
        {page}
    )
    SELECT json_build_object(
        'total', (SELECT coalesce(sum(n), 0) FROM matching),
        'items', coalesce((
            SELECT json_agg(to_json(found)) FROM (
                SELECT task.* FROM page, LATERAL (
                    SELECT task_id, user_id, title, description, task_type, priority,
                        estimated_duration_min, price_fen_per_minute, hold_fen, status, phase,
                        reason, progress, attempt, server_id, cost_fen, error_message,
                        started_at, cancel_requested_at, completed_at, created_at,
                        updated_at
                    FROM read.tasks WHERE task_id = page.task_id
                    LIMIT 1  -- one lookup for each, whatever length of page is planned for
                ) AS task
                ORDER BY {order}
            ) AS found
        ), '[]'::json)
    )::text
"""
OF_ONE_ORDER: Final = """
    SELECT task_id FROM (
        SELECT task_id, {sort_by} FROM read.tasks WHERE deleted_at IS NULL {where}
        ORDER BY {order} LIMIT {reach}
    ) AS of_all
    WHERE %(offset)s < (SELECT sum(n) FROM matching)  -- past the end nothing is walked
    ORDER BY {order} LIMIT %(page_size)s OFFSET %(offset)s
"""
OF_EACH_KIND: Final = """
    SELECT task_id
    FROM matching, LATERAL (
        SELECT task_id, {sort_by} FROM read.tasks AS task
        WHERE deleted_at IS NULL {of_user}
            AND task.status = matching.status AND task.task_type = matching.task_type
        ORDER BY {order} LIMIT {reach}
    ) AS of_kind
    WHERE %(offset)s < (SELECT sum(n) FROM matching)
    ORDER BY {order} LIMIT %(page_size)s OFFSET %(offset)s
"""
ORDERS: Final[dict[tuple[SortBy, SortOrder], LiteralString]] = {
    ("created_at", "asc"): "created_at, task_id",
    ("created_at", "desc"): "created_at DESC, task_id DESC",
    ("updated_at", "asc"): "updated_at, task_id",
    ("updated_at", "desc"): "updated_at DESC, task_id DESC",
    ("priority", "asc"): "priority, task_id",
    ("priority", "desc"): "priority DESC, task_id DESC",
}


@cache
def page_statement(
    sort_by: SortBy,
    sort_order: SortOrder,
    *,
    by_user: bool,
    by_status: bool,
    by_type: bool,
    reach: LiteralString,
) -> LiteralString:
    """The text for one choice: a filter that may be absent would cost the index.

    One kind of task, and all tasks by age, stand in one index in their order. Else the page is
    merged from the beginnings of the kinds that the counters name.
    """
    where: LiteralString = ""
    where += "AND user_id = %(user_id)s " if by_user else ""
    where += "AND status = %(status)s " if by_status else ""
    where += "AND task_type = %(task_type)s " if by_type else ""
    names: dict[str, LiteralString] = {
        "counters": "read.task_counts" if by_user else "read.task_totals",
        "where": where,
        "of_user": "AND user_id = %(user_id)s" if by_user else "",
        "sort_by": sort_by,
        "order": ORDERS[sort_by, sort_order],
        "reach": reach,
    }
    is_one_kind = by_status and by_type
    is_by_age = sort_by == "created_at" and not by_status and not by_type
    page = OF_ONE_ORDER if is_one_kind or is_by_age else OF_EACH_KIND
    return MATCHING.format(page=page.format(**names), **names)


async def task_by_id(
    connection: AsyncConnection[Any], task_id: UUID, *, user_id: UUID | None
) -> TaskRow | None:
    """The task, unless it was deleted or is not ``user_id``'s; ``None`` there means anybody."""
    task = await one(connection, TaskRow, BY_ID, {"task_id": task_id})
    return task if task is None or user_id in {None, task.user_id} else None


async def task_page(connection: AsyncConnection[Any], wanted: TaskFilter) -> Page[ListedTask]:
    """One page of tasks and the number of all that match."""
    statement = page_statement(
        wanted.sort_by,
        wanted.sort_order,
        by_user=wanted.user_id is not None,
        by_status=wanted.status is not None,
        by_type=wanted.task_type is not None,
        reach=reach_of(wanted.page, wanted.page_size),
    )
    parameters = {
        "user_id": wanted.user_id,
        "status": wanted.status,
        "task_type": wanted.task_type,
        "page_size": wanted.page_size,
        "offset": offset(wanted.page, wanted.page_size),
    }
    found = await one(connection, Found[ListedTask], statement, parameters)
    assert found is not None, "an aggregate gives one row"
    return Page(
        items=found.items, total=found.total, page=wanted.page, page_size=wanted.page_size
    )
