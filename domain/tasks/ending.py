"""Decisions that end an attempt: completed, failed, cancelled; what it cost is decided here.

The seconds charged are those the agent measured, but never more than the platform saw pass
between the start and now: a lying clock cannot overcharge.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeAlias

from domain.tasks.events import (
    Artifact,
    Reason,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
)
from domain.tasks.task import Task, cost_of, run_ms_of

Ending: TypeAlias = TaskCompleted | TaskFailed | TaskCancelled


def charged_ms(task: Task, *, reported_ms: int, now: datetime) -> int:
    """The milliseconds to charge for."""
    return min(max(0, reported_ms), run_ms_of(task, now))


def complete(
    task: Task,
    *,
    run_ms: int,
    now: datetime,
    result: dict[str, Any],
    artifacts: tuple[Artifact, ...],
    limit_fen: int,
) -> TaskCompleted:
    """The attempt succeeded; it costs at most ``limit_fen``, what is held for it."""
    assert task.server_id is not None
    charged = charged_ms(task, reported_ms=run_ms, now=now)
    return TaskCompleted(
        task_id=task.task_id,
        user_id=task.user_id,
        attempt=task.attempt,
        server_id=task.server_id,
        run_ms=charged,
        cost_fen=min(cost_of(task, charged), limit_fen),
        finished_at=now,
        result=result,
        artifacts=artifacts,
    )


def fail(
    task: Task,
    *,
    reason: Reason,
    error_message: str,
    run_ms: int,
    now: datetime,
    limit_fen: int,
) -> TaskFailed:
    """The attempt failed; free when the platform is at fault."""
    charged = charged_ms(task, reported_ms=run_ms, now=now)
    return TaskFailed(
        task_id=task.task_id,
        user_id=task.user_id,
        attempt=task.attempt,
        reason=reason,
        run_ms=charged,
        cost_fen=min(cost_of(task, charged, reason), limit_fen),
        finished_at=now,
        server_id=task.server_id,
        error_message=error_message,
    )


def cancelled(
    task: Task, *, run_ms: int, now: datetime, limit_fen: int
) -> TaskCancelled | TaskFailed:
    """A cancellation came through: the agent confirmed it, or its time ran out.

    A task that was stopped because its user's money ran out has failed, not been cancelled.
    """
    reason = task.cancel_reason or "cancelled_by_user"
    if reason == "balance_exhausted":
        return fail(
            task,
            reason=reason,
            error_message="the balance was used up",
            run_ms=run_ms,
            now=now,
            limit_fen=limit_fen,
        )
    charged = charged_ms(task, reported_ms=run_ms, now=now)
    return TaskCancelled(
        task_id=task.task_id,
        user_id=task.user_id,
        attempt=task.attempt,
        reason=reason,
        run_ms=charged,
        cost_fen=min(cost_of(task, charged, reason), limit_fen),
        finished_at=now,
        server_id=task.server_id,
    )
