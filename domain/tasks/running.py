"""Decisions while a task runs: assign, start, progress, lose and requeue.

Reports are fenced: one that names another attempt or another server than the current one is
answered by ``StaleReportRefused`` and moves nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from domain.tasks.events import (
    Reason,
    StaleReportRefused,
    TaskAssigned,
    TaskFailed,
    TaskProgressed,
    TaskRequeued,
    TaskStarted,
)
from domain.tasks.task import Task

PROGRESS_STEP = 5.0
"""Progress is recorded when it has moved by this much, so that the log stays readable."""


def is_current(task: Task | None, *, attempt: int, server_id: UUID) -> bool:
    """Whether a report speaks of the attempt that this server really has."""
    return (
        task is not None
        and task.phase in {"assigned", "running", "cancelling"}
        and task.attempt == attempt
        and task.server_id == server_id
    )


def refuse_stale(
    task: Task, *, attempt: int, server_id: UUID, report: str
) -> StaleReportRefused:
    """Note a report that came too late or from the wrong server."""
    return StaleReportRefused(
        task_id=task.task_id,
        attempt=attempt,
        current_attempt=task.attempt,
        server_id=server_id,
        report=report,
    )


def assign(
    task: Task | None,
    *,
    attempt: int,
    server_id: UUID,
    gpu_uuids: tuple[str, ...],
    why: dict[str, Any],
) -> TaskAssigned | None:
    """Give a waiting attempt to a server; ``None`` when it no longer waits."""
    if task is None or task.phase != "pending" or task.attempt != attempt:
        return None
    return TaskAssigned(
        task_id=task.task_id,
        user_id=task.user_id,
        attempt=attempt,
        server_id=server_id,
        task_type=task.task_type,
        config=task.config,
        timeout_s=task.timeout_s,
        gpu_uuids=gpu_uuids,
        why=why,
    )


def start(task: Task, *, attempt: int, server_id: UUID, now: datetime) -> TaskStarted | None:
    """The agent began; ``None`` when that is known already."""
    if task.started_at is not None:
        return None
    return TaskStarted(
        task_id=task.task_id, attempt=attempt, server_id=server_id, started_at=now
    )


def progress(task: Task, *, attempt: int, percent: float, note: str) -> TaskProgressed | None:
    """Record progress that is worth recording."""
    if task.started_at is None or percent < task.progress + PROGRESS_STEP:
        return None
    return TaskProgressed(
        task_id=task.task_id, attempt=attempt, progress=min(percent, 100.0), note=note
    )


def lose(
    task: Task, *, reason: Reason, counted: bool, budget: int, now: datetime
) -> TaskRequeued | TaskFailed:
    """An attempt is gone through the platform's fault: wait again, or give up for free.

    ``counted`` is false when the attempt never began (the agent declined, or did not start in
    time): such a loss does not use up the ``budget``.
    """
    assert task.server_id is not None, "only an assigned attempt can be lost"
    if counted and task.lost + 1 > budget:
        return TaskFailed(
            task_id=task.task_id,
            user_id=task.user_id,
            attempt=task.attempt,
            reason=reason,
            run_ms=0,
            cost_fen=0,
            finished_at=now,
            server_id=task.server_id,
            error_message="the platform lost this task too often",
        )
    return TaskRequeued(
        task_id=task.task_id,
        user_id=task.user_id,
        attempt=task.attempt + 1,
        reason=reason,
        lost_server_id=task.server_id,
        counted=counted,
    )
