"""Tasks of users. Source: the published contract, 任务管理API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias
from uuid import UUID

from litestar import Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Meta, Struct
from msgspec.structs import replace

from api.body import RequestBody
from api.envelope import Envelope, shown
from api.exchange import Exchange
from api.fields import Description
from api.judging import judge_order
from api.messages import DENIED, Fault, Text
from api.names import blank_fault
from api.pagination import Page, PageNumber, PageSize, page_of
from api.platform import HttpConfig
from api.policy import ANYONE, MEMBER, OPEN_IN_MAINTENANCE
from api.refusals import refuses
from api.rejection import Rejection
from api.task_configs import config_faults
from api.task_shapes import TaskDetail, TaskSummary, detail_of, summary_of
from api.task_texts import in_the_clear
from api.validation import checked, id_of
from commands.tasks import (
    CancelTask,
    DeleteTask,
    Queued,
    RetryTask,
    SubmitTask,
    TaskNow,
    cancel_task,
    delete_task,
    retry_task,
    submit_task,
)
from domain.errors import NotFound
from domain.tasks.lifecycle import STATUS, Phase, Status
from domain.tasks.submission import TaskOrder
from projections.task_lists import SortBy, SortOrder, TaskFilter, task_by_id, task_page
from projections.task_queue import queue_place
from projections.tasks import TaskRow

SUBMITTED: Final = Text("任务已创建", "Task created")
STOPPING: Final = Text("任务已取消", "Task cancelled")
ASKED_TO_STOP: Final = Text("正在取消任务", "The task is being cancelled")
AGAIN: Final = Text("任务已重新排队", "The task waits to run again")
DELETED: Final = Text("任务已删除", "Task deleted")

TaskType: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$(?!\n)")
]


class SubmitRequest(RequestBody):
    """An order. ``estimated_duration`` is in minutes and never kills a task."""

    judge = judge_order
    title: Annotated[
        str,
        Meta(min_length=1, max_length=200, examples=["视频分析任务"]),
        checked(blank_fault),
    ]
    task_type: Annotated[TaskType, Meta(examples=["video_analysis"])]
    description: Description = ""
    priority: Annotated[int, Meta(ge=1, le=5)] = 1
    estimated_duration: Annotated[int, Meta(ge=1, le=1_440)] | None = None
    config: dict[str, Any] = {}

    @classmethod
    def cross_check(
        cls, given: Mapping[str, Any], config: HttpConfig
    ) -> Iterator[tuple[str, Fault]]:
        """The config is what the type of task takes."""
        if "task_type" in given:
            yield from config_faults(given["task_type"], given.get("config", {}), config)


class SubmittedTask(Struct, kw_only=True):
    """The task that now waits."""

    id: UUID
    title: str
    status: Status
    progress: float
    created_at: datetime | None


class TaskStanding(Struct, kw_only=True):
    """Where the task stands now."""

    id: UUID
    status: Status
    phase: Phase
    attempt: int


class DeletedTask(Struct, kw_only=True):
    """The task that is no longer shown."""

    id: UUID


_ORDERING = refuses("INSUFFICIENT_BALANCE", "TASK_LIMIT_EXCEEDED", "INVALID_STATE")


@post("/", opt=MEMBER | _ORDERING, status_code=200)
async def submit(
    data: JSONBody[SubmitRequest], exchange: NamedDependency[Exchange]
) -> Envelope[SubmittedTask]:
    """创建任务: ask for work; its price is set aside at once."""
    platform, user = exchange.platform, exchange.user
    command = SubmitTask(
        task_id=platform.ids(),
        user_id=user.user_id,
        order=TaskOrder(
            title=data.title,
            task_type=data.task_type,
            description=data.description,
            priority=data.priority,
            estimated_duration_min=data.estimated_duration,
            config=data.config,
        ),
        is_admin=user.is_operator,
        at=platform.clock(),
    )
    queued = await exchange.run(submit_task, command, Queued)
    return exchange.reply(
        SubmittedTask(
            id=queued.task_id,
            title=data.title,
            status="pending",
            progress=0.0,
            created_at=shown(exchange.recorded_at),
        ),
        SUBMITTED,
    )


def _user_fault(text: str) -> Fault | None:
    return Fault("user_or_all") if text != "all" and id_of(text) is None else None


@get("/", opt=ANYONE | refuses("ACCESS_DENIED"))
async def list_tasks(
    exchange: NamedDependency[Exchange],
    page: FromQuery[PageNumber] = 1,
    page_size: FromQuery[PageSize] = 20,
    status: FromQuery[Status | None] = None,
    task_type: FromQuery[
        Annotated[str | None, QueryParameter(min_length=1, max_length=64)]
    ] = None,
    sort_by: FromQuery[SortBy] = "created_at",
    sort_order: FromQuery[SortOrder] = "desc",
    user_id: FromQuery[
        Annotated[
            str | None,
            QueryParameter(description="Operators only: an id or `all`. 用户编号，仅管理员"),
            checked(_user_fault),
        ]
    ] = None,
) -> Envelope[Page[TaskSummary]]:
    """获取任务列表: the signed-in user's tasks."""
    wanted = TaskFilter(
        user_id=_whose(exchange, user_id),
        status=status,
        task_type=task_type,
        sort_by=sort_by,
        sort_order=sort_order,
        page=page,
        page_size=page_size,
    )
    now = exchange.platform.clock()
    async with exchange.reading() as connection:
        found = await task_page(connection, wanted)
        items = await in_the_clear(found.items, exchange.platform.texts, connection)
    found = replace(found, items=items)
    return exchange.reply(page_of(found, lambda row: summary_of(row, now, exchange.language)))


@get("/{task_id:uuid}", opt=ANYONE)
async def read_task(
    task_id: FromPath[UUID], exchange: NamedDependency[Exchange]
) -> Envelope[TaskDetail]:
    """获取任务详情: one task; somebody else's does not exist."""
    now = exchange.platform.clock()
    async with exchange.reading() as connection:
        task = _found(await task_by_id(connection, task_id, user_id=exchange.user.may_read_of))
        place = await queue_place(connection, task, now=now)
        (task,) = await in_the_clear([task], exchange.platform.texts, connection)
    return exchange.reply(detail_of(task, place, now, exchange.language))


@post(
    "/{task_id:uuid}/cancel",
    opt=MEMBER | OPEN_IN_MAINTENANCE | refuses("INVALID_STATE"),
    status_code=200,
)
async def cancel(
    task_id: FromPath[UUID], exchange: NamedDependency[Exchange]
) -> Envelope[TaskStanding]:
    """取消任务: stop a task: at once while it waits, else when its agent confirms."""
    user = exchange.user
    command = CancelTask(
        task_id=task_id,
        user_id=user.user_id,
        is_admin=user.is_operator,
        at=exchange.platform.clock(),
    )
    now = await exchange.run(cancel_task, command, TaskNow)
    return exchange.reply(
        _standing(now), STOPPING if now.phase == "cancelled" else ASKED_TO_STOP
    )


@post("/{task_id:uuid}/retry", opt=MEMBER | _ORDERING, status_code=200)
async def retry(
    task_id: FromPath[UUID], exchange: NamedDependency[Exchange]
) -> Envelope[TaskStanding]:
    """重新运行任务: run a failed or cancelled task again, at today's price."""
    user = exchange.user
    command = RetryTask(
        task_id=task_id,
        user_id=user.user_id,
        is_admin=user.is_operator,
        at=exchange.platform.clock(),
    )
    queued = await exchange.run(retry_task, command, Queued)
    return exchange.reply(
        TaskStanding(id=task_id, status="pending", phase="pending", attempt=queued.attempt),
        AGAIN,
    )


@delete("/{task_id:uuid}", opt=MEMBER | refuses("INVALID_STATE"), status_code=200)
async def remove(
    task_id: FromPath[UUID], exchange: NamedDependency[Exchange]
) -> Envelope[DeletedTask]:
    """删除任务: hide a task that does not run; its money and totals stay."""
    user = exchange.user
    command = DeleteTask(
        task_id=task_id,
        user_id=user.user_id,
        is_admin=user.is_operator,
        at=exchange.platform.clock(),
    )
    await exchange.run(delete_task, command, TaskNow)
    return exchange.reply(DeletedTask(id=task_id), DELETED)


def _found(task: TaskRow | None) -> TaskRow:
    if task is None:
        raise NotFound
    return task


def _whose(exchange: Exchange, wanted: str | None) -> UUID | None:
    """Whose tasks to list."""
    own = exchange.user.user_id
    if wanted is None:
        return own
    user_id = id_of(wanted)
    if user_id != own and exchange.user.may_read_of is not None:
        raise Rejection("ACCESS_DENIED", message=DENIED["READER"])
    return user_id


def _standing(now: TaskNow) -> TaskStanding:
    return TaskStanding(
        id=now.task_id, status=STATUS[now.phase], phase=now.phase, attempt=now.attempt
    )


ROUTER = Router(
    path="/tasks",
    route_handlers=[submit, list_tasks, read_task, cancel, retry, remove],
    tags=["任务 Tasks"],
)
