"""Queries of tasks: one by its id, and pages of them.

A page's keys are found in an index alone and only then are its rows read, so that a deep page
costs a walk along the index and no more. Totals come from the tallies.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, Literal, LiteralString
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection

from domain.tasks.lifecycle import Status
from projections.page import Found, Page, offset, one
from projections.tasks import TaskRow

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

PAGE: Final = """
    SELECT json_build_object(
        'total', ({total}),
        'items', coalesce((
            SELECT json_agg(to_json(found)) FROM (
                SELECT task.* FROM read.tasks AS task
                JOIN (
                    SELECT task_id FROM read.tasks
                    WHERE deleted_at IS NULL {where}
                    ORDER BY {order} LIMIT %(page_size)s OFFSET %(offset)s
                ) AS page USING (task_id)
                ORDER BY {order}
            ) AS found
        ), '[]'::json)
    )::text
"""
OF_USER: Final = """
    SELECT coalesce(sum(n), 0) FROM read.task_counts
    WHERE NOT is_deleted {where}
"""
OF_ALL: Final = """
    SELECT coalesce(sum(n), 0) FROM read.task_totals
    WHERE NOT is_deleted {where}
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
) -> LiteralString:
    """The text for one choice of filters: a filter that may be absent would cost the index."""
    where: LiteralString = ""
    where += "AND user_id = %(user_id)s " if by_user else ""
    where += "AND status = %(status)s " if by_status else ""
    where += "AND task_type = %(task_type)s " if by_type else ""
    total = (OF_USER if by_user else OF_ALL).format(where=where)
    return PAGE.format(total=total, where=where, order=ORDERS[sort_by, sort_order])


async def task_by_id(
    connection: AsyncConnection[Any], task_id: UUID, *, user_id: UUID | None
) -> TaskRow | None:
    """The task, unless it was deleted or is not ``user_id``'s; ``None`` there means anybody."""
    task = await one(connection, TaskRow, BY_ID, {"task_id": task_id})
    return task if task is None or user_id in {None, task.user_id} else None


async def task_page(connection: AsyncConnection[Any], wanted: TaskFilter) -> Page[TaskRow]:
    """One page of tasks and the number of all that match."""
    statement = page_statement(
        wanted.sort_by,
        wanted.sort_order,
        by_user=wanted.user_id is not None,
        by_status=wanted.status is not None,
        by_type=wanted.task_type is not None,
    )
    parameters = {
        "user_id": wanted.user_id,
        "status": wanted.status,
        "task_type": wanted.task_type,
        "page_size": wanted.page_size,
        "offset": offset(wanted.page, wanted.page_size),
    }
    found = await one(connection, Found[TaskRow], statement, parameters)
    assert found is not None, "an aggregate gives one row"
    return Page(
        items=found.items, total=found.total, page=wanted.page, page_size=wanted.page_size
    )
