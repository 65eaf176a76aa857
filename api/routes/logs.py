"""Logs. Source: the published contract, 日志管理API."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from msgspec import Struct

from api.envelope import Envelope, shown
from api.exchange import Exchange
from api.log_texts import said
from api.messages import Language
from api.pagination import LogPageSize, Page, PageNumber, page_of
from api.policy import ANYONE
from domain.errors import NotFound
from projections.task_lists import task_by_id
from projections.task_logs import LogLine, log_page


class TaskLogLine(Struct, kw_only=True):
    """One line: an event of the platform, or what the task itself wrote.

    ``position`` and ``event_id`` name the event in its log.
    """

    timestamp: datetime | None
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    source: Literal["event", "output"]
    message: str
    attempt: int
    actor: str
    event: str | None
    data: dict[str, Any] | None
    position: int
    event_id: str


@get("/tasks/{task_id:uuid}", opt=ANYONE)
async def read_task_log(
    task_id: FromPath[UUID],
    exchange: NamedDependency[Exchange],
    page: FromQuery[PageNumber] = 1,
    page_size: FromQuery[LogPageSize] = 50,
) -> Envelope[Page[TaskLogLine]]:
    """获取任务执行日志: what happened to a task and what it wrote, the oldest first."""
    async with exchange.reading() as connection:
        if await task_by_id(connection, task_id, user_id=exchange.user.may_read_of) is None:
            raise NotFound
        found = await log_page(connection, task_id, page=page, page_size=page_size)
    language = exchange.language
    return exchange.reply(page_of(found, lambda line: _line(line, language)))


def _line(line: LogLine, language: Language) -> TaskLogLine:
    return TaskLogLine(
        timestamp=shown(line.at or line.recorded_at),
        level=line.level,
        source="output" if line.source else "event",
        message=said(line, language),
        attempt=line.attempt,
        actor=line.actor,
        event=line.tag,
        data=line.data,
        position=line.position,
        event_id=line.event_id,
    )


ROUTER = Router(path="/logs", route_handlers=[read_task_log], tags=["日志 Logs"])
