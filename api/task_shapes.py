"""Tasks as the contract prints them: memory of every attempt, money in yuan, times in UTC."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct

from api.envelope import shown
from api.failure_texts import failure
from api.messages import Language
from domain.money import to_yuan
from domain.tasks.events import Reason
from domain.tasks.lifecycle import FAULT, Fault, Phase, Status
from projections.task_queue import PendingReason, QueuePlace
from projections.tasks import Attempt, ListedTask, TaskRow

_CERTAIN_PERCENT = 5.0
"""Below this a task's own pace says nothing about its end."""


class TaskSummary(Struct, kw_only=True):
    """One task in a list. ``cost`` in yuan grows while it runs; ``progress`` is 0 to 100."""

    id: UUID
    title: str
    description: str
    task_type: str
    status: Status
    phase: Phase
    reason: Reason | None
    progress: float
    priority: int
    attempt: int
    gpu_server_id: UUID | None
    error_message: str | None
    cost: float
    estimated_duration: int | None
    user_id: UUID
    started_at: datetime | None
    completed_at: datetime | None
    created_at: datetime | None
    updated_at: datetime | None


class AttemptItem(Struct, kw_only=True):
    """One try on one server; ``run_seconds`` is what was measured, ``cost`` what it cost."""

    attempt: int
    gpu_server_id: UUID
    assigned_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str | None
    reason: Reason | None
    error_message: str | None
    run_seconds: float
    cost: float


class ArtifactItem(Struct, kw_only=True):
    """A file that the task made; ``url`` is relative to the host."""

    name: str
    size_bytes: int
    sha256: str
    media_type: str
    url: str


class TaskDetail(TaskSummary, kw_only=True):
    """One task. ``eta`` is when it is expected to end, ``queue_position`` counts from 1."""

    config: dict[str, Any]
    result: dict[str, Any]
    fault: Fault | None
    attempts: list[AttemptItem]
    artifacts: list[ArtifactItem]
    pending_reason: PendingReason | None
    queue_position: int | None
    eta: datetime | None
    timeout_seconds: int
    price_per_minute: float
    hold: float


def summary_fields(task: ListedTask, now: datetime, language: Language) -> dict[str, Any]:
    """What a list and the detail have in common."""
    return {
        "id": task.task_id,
        "title": task.title,
        "description": task.description,
        "task_type": task.task_type,
        "status": task.status,
        "phase": task.phase,
        "reason": task.reason,
        "progress": round(task.progress, 1),
        "priority": task.priority,
        "attempt": task.attempt,
        "gpu_server_id": task.server_id,
        "error_message": _why_failed(task.status, task.reason, task.error_message, language),
        "cost": to_yuan(task.cost_at(now)),
        "estimated_duration": task.estimated_duration_min,
        "user_id": task.user_id,
        "started_at": shown(task.started_at),
        "completed_at": shown(task.completed_at),
        "created_at": shown(task.created_at),
        "updated_at": shown(task.updated_at),
    }


def summary_of(task: ListedTask, now: datetime, language: Language) -> TaskSummary:
    """A task in a list."""
    return TaskSummary(**summary_fields(task, now, language))


def detail_of(
    task: TaskRow, place: QueuePlace | None, now: datetime, language: Language
) -> TaskDetail:
    """A task by itself; ``place`` is its place in the queue while it waits."""
    return TaskDetail(
        **summary_fields(task, now, language),
        config=task.config,
        result=task.result,
        fault=FAULT[task.reason] if task.reason else None,
        attempts=[_attempt(attempt, language) for attempt in task.attempts],
        artifacts=[
            ArtifactItem(
                name=artifact.name,
                size_bytes=artifact.size_bytes,
                sha256=artifact.sha256,
                media_type=artifact.media_type,
                url=f"/api/tasks/{task.task_id}/artifacts/{artifact.name}",
            )
            for artifact in task.artifacts
        ],
        pending_reason=place.reason if place else None,
        queue_position=place.position if place else None,
        eta=shown(expected_end(task, place, now)),
        timeout_seconds=task.timeout_s,
        price_per_minute=to_yuan(task.price_fen_per_minute),
        hold=to_yuan(task.hold_fen),
    )


def expected_end(task: TaskRow, place: QueuePlace | None, now: datetime) -> datetime | None:
    """When the task will have ended, by its own pace or else by its user's estimate."""
    estimate = (
        None
        if task.estimated_duration_min is None
        else timedelta(minutes=task.estimated_duration_min)
    )
    if task.status == "pending":
        if place is None or place.estimated_wait_s is None or estimate is None:
            return None
        return now + timedelta(seconds=place.estimated_wait_s) + estimate
    if task.status != "running" or task.started_at is None:
        return None
    if task.progress >= _CERTAIN_PERCENT:
        return task.started_at + (now - task.started_at) * (100 / task.progress)
    return None if estimate is None else max(now, task.started_at + estimate)


def _why_failed(
    outcome: str | None, reason: Reason | None, detail: str, language: Language
) -> str | None:
    if outcome != "failed" or reason is None:
        return None
    return failure(reason, detail, language)


def _attempt(attempt: Attempt, language: Language) -> AttemptItem:
    return AttemptItem(
        attempt=attempt.attempt,
        gpu_server_id=attempt.server_id,
        assigned_at=shown(attempt.assigned_at),
        started_at=shown(attempt.started_at),
        ended_at=shown(attempt.ended_at),
        outcome=attempt.outcome,
        reason=attempt.reason,
        error_message=_why_failed(
            attempt.outcome, attempt.reason, attempt.error_message, language
        ),
        run_seconds=round(attempt.run_ms / 1000, 3),
        cost=to_yuan(attempt.cost_fen),
    )
