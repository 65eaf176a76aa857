"""Decisions of the user: submit, cancel, run again, delete."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from domain.errors import InvalidInput, InvalidState
from domain.money import Fen
from domain.source_url import wants_files
from domain.system.configuration import Configuration
from domain.tasks.events import (
    Reason,
    TaskCancelled,
    TaskCancelRequested,
    TaskDeleted,
    TaskRequeued,
    TaskRetried,
    TaskSubmitted,
)
from domain.tasks.lifecycle import STATUS, allows
from domain.tasks.task import Task, most_of


class TaskOrder(Struct, frozen=True, kw_only=True):
    """What a user asks for; units as in the published contract: minutes, then seconds."""

    title: str
    task_type: str
    description: str = ""
    priority: int = 1
    estimated_duration_min: int | None = None
    config: dict[str, Any] = {}


def hold_for(
    price_fen_per_minute: Fen,
    estimated_duration_min: int | None,
    timeout_s: int,
    configuration: Configuration,
) -> Fen:
    """What is set aside before a task runs: its price for the estimated minutes.

    Never more than it may cost until its timeout, whatever was estimated.
    """
    minutes = estimated_duration_min or configuration.default_hold_min
    most = most_of(price_fen_per_minute=price_fen_per_minute, timeout_s=timeout_s)
    return min(price_fen_per_minute * minutes, most)


def timeout_for(config: dict[str, Any], configuration: Configuration) -> int:
    """The seconds after which the task is killed; a task may only lower the default."""
    wanted = config.get("timeout_seconds")
    limit = configuration.default_task_timeout_s
    return min(wanted, limit) if type(wanted) is int and wanted > 0 else limit


def gpu_memory_for(config: dict[str, Any]) -> int:
    """The MiB of GPU memory that a task wants on its GPU; 0 when it does not say."""
    wanted = config.get("gpu_memory_mib")
    return wanted if type(wanted) is int and wanted > 0 else 0


def submit(
    order: TaskOrder, *, task_id: UUID, user_id: UUID, configuration: Configuration
) -> TaskSubmitted:
    """Accept an order at today's price.

    Raises:
        InvalidInput: the type is not one that the farm runs.
    """
    price = configuration.prices_fen_per_minute.get(order.task_type)
    if price is None:
        enabled = sorted(configuration.prices_fen_per_minute)
        raise InvalidInput("unknown task type", field="task_type", enabled=enabled)
    timeout_s = timeout_for(order.config, configuration)
    return TaskSubmitted(
        task_id=task_id,
        user_id=user_id,
        title=order.title,
        task_type=order.task_type,
        description=order.description,
        priority=order.priority,
        estimated_duration_min=order.estimated_duration_min,
        config=order.config,
        price_fen_per_minute=price,
        hold_fen=hold_for(price, order.estimated_duration_min, timeout_s, configuration),
        timeout_s=timeout_s,
    )


def cancel(
    task: Task, *, reason: Reason, now: datetime
) -> TaskCancelled | TaskCancelRequested | None:
    """Stop a task: at once when nothing runs, else by asking the agent.

    ``None`` when it is being or has been cancelled already.

    Raises:
        InvalidState: it completed or failed before.
    """
    match task.phase:
        case "pending":
            return TaskCancelled(
                task_id=task.task_id,
                user_id=task.user_id,
                attempt=task.attempt,
                reason=reason,
                run_ms=0,
                cost_fen=0,
                finished_at=now,
            )
        case "assigned" | "running":
            assert task.server_id is not None
            return TaskCancelRequested(
                task_id=task.task_id,
                attempt=task.attempt,
                server_id=task.server_id,
                reason=reason,
                requested_at=now,
            )
        case "cancelling" | "cancelled":
            return None
        case _:
            message = "the task has ended"
            raise InvalidState(message, **_standing(task))


def retry(task: Task, *, configuration: Configuration) -> TaskRetried:
    """Run an ended task again at today's price.

    Raises:
        InvalidState: it has neither failed nor been cancelled, or the farm no longer runs its
            type.
    """
    if not allows(task.phase, TaskRetried):
        message = "only a failed or cancelled task can be run again"
        raise InvalidState(message, **_standing(task))
    price = configuration.prices_fen_per_minute.get(task.task_type)
    if price is None:
        raise InvalidState("the farm no longer runs this type", task_type=task.task_type)
    timeout_s = timeout_for(task.config, configuration)
    return TaskRetried(
        task_id=task.task_id,
        user_id=task.user_id,
        attempt=task.attempt + 1,
        price_fen_per_minute=price,
        hold_fen=hold_for(price, task.estimated_duration_min, timeout_s, configuration),
        timeout_s=timeout_s,
        priority=task.priority,
        gpu_memory_mib=gpu_memory_for(task.config),
        wants_files=wants_files(task.config),
    )


def withdraw(task: Task, *, reason: Reason) -> TaskRequeued:
    """Take a task back from a server that has not begun it.

    The attempt is over: what the server still says of it is stale, and it is told to stop.
    """
    assert task.phase == "assigned", "only an attempt that has not begun is withdrawn"
    assert task.server_id is not None
    return TaskRequeued(
        task_id=task.task_id,
        user_id=task.user_id,
        attempt=task.attempt + 1,
        reason=reason,
        lost_server_id=task.server_id,
        counted=False,
    )


def delete(task: Task) -> TaskDeleted:
    """Hide an ended task.

    Raises:
        InvalidState: it has not ended.
    """
    if not allows(task.phase, TaskDeleted):
        message = "a running task cannot be deleted: cancel it first"
        raise InvalidState(message, **_standing(task))
    return TaskDeleted(task_id=task.task_id, user_id=task.user_id)


def _standing(task: Task) -> dict[str, str]:
    """What a refusal shows of a task: its status as everywhere, and the phase beside it."""
    return {"status": STATUS[task.phase], "phase": task.phase}
