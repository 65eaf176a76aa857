"""Decisions while a task runs: assign, start, progress."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domain.tasks.events import TaskAssigned, TaskProgressed, TaskStarted
from domain.tasks.task import Task, elapsed_ms

PROGRESS_STEP = 5.0
"""Progress is recorded when it has moved by this much, so that the log stays readable."""


def assign(
    task: Task | None,
    *,
    attempt: int,
    server_id: UUID,
    gpu_uuids: tuple[str, ...],
    why: dict[str, Any],
    now: datetime,
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
        assigned_at=now,
    )


def start(task: Task, *, now: datetime) -> tuple[TaskStarted, ...]:
    """The agent began; nothing happens when that is known already."""
    return () if task.started_at is not None else (_started(task, now),)


def start_unseen(task: Task, *, run_ms: int, now: datetime) -> tuple[TaskStarted, ...]:
    """The attempt ran for ``run_ms``, although no report of its start came through.

    It cannot have begun before it was assigned.
    """
    if task.started_at is not None:
        return ()
    ran_ms = min(max(0, run_ms), elapsed_ms(task.assigned_at, now))
    return (_started(task, now - timedelta(milliseconds=ran_ms)),)


def progress(task: Task, *, percent: float, note: str) -> tuple[TaskProgressed, ...]:
    """Record progress that is worth recording."""
    if percent < task.progress + PROGRESS_STEP:
        return ()
    return (
        TaskProgressed(
            task_id=task.task_id,
            attempt=task.attempt,
            progress=min(percent, 100.0),
            note=note,
        ),
    )


def _started(task: Task, at: datetime) -> TaskStarted:
    assert task.server_id is not None, "only an assigned attempt can start"
    return TaskStarted(
        task_id=task.task_id, attempt=task.attempt, server_id=task.server_id, started_at=at
    )
