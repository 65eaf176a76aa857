"""Logs. Source: the published contract, 日志管理API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Annotated, Final, TypeAlias
from uuid import UUID

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Stream

from api.accesses import log_read
from api.crowding import at_once
from api.envelope import Envelope
from api.exchange import Exchange
from api.log_download import (
    ALL_DAYS,
    MEDIA_TYPES,
    Download,
    Format,
    LogType,
    check_there_is,
    check_user,
    days_of,
    faults_of_download,
    faults_of_list,
    file_of,
)
from api.log_shapes import (
    ActionLine,
    SystemLine,
    TaskLogLine,
    action_line,
    system_line,
    task_line,
)
from api.pagination import LogPageSize, Page, PageNumber, page_of
from api.policy import ANYONE, READER
from api.query import between
from api.refusals import refuses
from api.system_log_lines import Level
from api.system_log_pages import LogFilter, system_log_page
from domain.errors import NotFound
from projections.task_lists import task_by_id
from projections.task_logs import log_page
from projections.user_action_pages import user_action_page

SEARCH_MAX: Final = 100
LOGS_AT_ONCE: Final = 4
"""Of the connections for reading: one reader of logs never has them all."""

LogLevel: TypeAlias = Annotated[
    Level | None, QueryParameter(description="Of this level. 日志级别")
]
FirstDay: TypeAlias = Annotated[
    date | None, QueryParameter(description="The first UTC day, included. 开始日期")
]
LastDay: TypeAlias = Annotated[
    date | None, QueryParameter(description="The last UTC day, included. 结束日期")
]
Search: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        max_length=SEARCH_MAX, description="Literal text, Chinese included. 搜索关键词"
    ),
]


@get("/system", opt=READER | at_once(LOGS_AT_ONCE) | between(faults_of_list))
async def read_system_log(
    exchange: NamedDependency[Exchange],
    page: FromQuery[PageNumber] = 1,
    page_size: FromQuery[LogPageSize] = 50,
    level: FromQuery[LogLevel] = None,
    start_date: FromQuery[FirstDay] = None,
    end_date: FromQuery[LastDay] = None,
    search: FromQuery[Search] = None,
) -> Envelope[Page[SystemLine]]:
    """获取系统日志: what the processes of the platform say, the newest first."""
    await log_read(exchange, search)
    wanted = LogFilter(level=level, start_date=start_date, end_date=end_date, search=search)
    async with exchange.reading() as connection:
        found = await system_log_page(connection, wanted, page=page, page_size=page_size)
    return exchange.reply(page_of(found, system_line))


@get(
    "/user-actions",
    opt=READER
    | at_once(LOGS_AT_ONCE)
    | between(faults_of_list)
    | refuses("RESOURCE_NOT_FOUND"),
)
async def read_user_actions(
    exchange: NamedDependency[Exchange],
    page: FromQuery[PageNumber] = 1,
    page_size: FromQuery[LogPageSize] = 50,
    user_id: FromQuery[
        Annotated[UUID | None, QueryParameter(description="By or about this user. 用户编号")]
    ] = None,
    start_date: FromQuery[FirstDay] = None,
    end_date: FromQuery[LastDay] = None,
) -> Envelope[Page[ActionLine]]:
    """获取用户操作日志: what people did, and what was done to their accounts, newest first."""
    await log_read(exchange)
    async with exchange.reading() as connection:
        if user_id is not None:
            await check_user(connection, user_id)
        found = await user_action_page(
            connection,
            user_id=user_id,
            start_date=start_date,
            end_date=end_date,
            page=page,
            page_size=page_size,
        )
    language = exchange.language
    return exchange.reply(page_of(found, lambda action: action_line(action, language)))


@get("/tasks/{task_id:uuid}", opt=ANYONE | at_once(LOGS_AT_ONCE))
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
    return exchange.reply(page_of(found, lambda line: task_line(line, language)))


@get(
    "/download",
    opt=READER
    | at_once(LOGS_AT_ONCE)
    | between(faults_of_download)
    | refuses("RESOURCE_NOT_FOUND")
    | {"media_types": tuple(MEDIA_TYPES.values())},
)
async def download(
    exchange: NamedDependency[Exchange],
    log_type: FromQuery[Annotated[LogType, QueryParameter(description="Which log. 日志类型")]],
    date: FromQuery[
        Annotated[
            date | None, QueryParameter(description="One UTC day; today unless told. 日期")
        ]
    ] = None,
    start_date: FromQuery[FirstDay] = None,
    end_date: FromQuery[LastDay] = None,
    level: FromQuery[LogLevel] = None,
    search: FromQuery[Search] = None,
    user_id: FromQuery[
        Annotated[
            UUID | None,
            QueryParameter(description="Of `user_actions`: this user's. 用户编号"),
        ]
    ] = None,
    task_id: FromQuery[
        Annotated[
            UUID | None,
            QueryParameter(description="Of `tasks`: this one's, with what it wrote. 任务编号"),
        ]
    ] = None,
    format: FromQuery[  # noqa: A002 - the parameter's published name
        Annotated[Format, QueryParameter(description="One JSON object a line, or CSV. 格式")]
    ] = "ndjson",
) -> Stream:
    """下载日志文件: a log as a file, the oldest line first, at most 92 days of it.

    Without a day it is today's, and all of one task; with `end_date` alone the 92 days that
    end with it.
    """
    today = exchange.platform.clock().date()
    is_whole = task_id is not None and not (date or start_date or end_date)
    first, last = ALL_DAYS if is_whole else days_of(date, start_date, end_date, today)
    wanted = Download(
        log_type=log_type,
        start_date=first,
        end_date=last,
        level=level,
        search=search,
        user_id=user_id,
        task_id=task_id,
    )
    await log_read(exchange, search)
    await check_there_is(exchange, wanted)
    pieces = file_of(exchange, wanted, format)
    beginning = await anext(pieces, b"")  # what fails at once is still answered in words
    return Stream(
        _whole(beginning, pieces),
        media_type=MEDIA_TYPES[format],
        headers={"Content-Disposition": f'attachment; filename="{wanted.name}.{format}"'},
    )


async def _whole(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


ROUTER = Router(
    path="/logs",
    route_handlers=[read_system_log, read_user_actions, read_task_log, download],
    tags=["日志 Logs"],
)
