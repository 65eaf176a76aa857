"""The task aggregate: its state and how facts move it.

Decisions stand in the files beside: ``submission``, ``running``, ``ending``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.decider import Decider
from domain.errors import NotFound
from domain.money import Fen, price_of
from domain.tasks.events import (
    Reason,
    StaleReportRefused,
    TaskAssigned,
    TaskCancelled,
    TaskCancelRequested,
    TaskCompleted,
    TaskDeleted,
    TaskFact,
    TaskFailed,
    TaskProgressed,
    TaskRequeued,
    TaskRetried,
    TaskStarted,
    TaskSubmitted,
)
from domain.tasks.lifecycle import FAULT, Phase, next_phase


class Task(Struct, frozen=True, kw_only=True):
    """What the stream says so far.

    ``lost`` counts attempts that the platform lost; ``cancel_reason`` is set while cancelling.
    """

    task_id: UUID
    user_id: UUID
    task_type: str
    config: dict[str, Any]
    price_fen_per_minute: Fen
    timeout_s: int
    estimated_duration_min: int | None
    phase: Phase = "pending"
    attempt: int = 1
    progress: float = 0.0
    server_id: UUID | None = None
    started_at: datetime | None = None
    cancel_reason: Reason | None = None
    lost: int = 0


def evolve(task: Task | None, fact: TaskFact) -> Task:  # noqa: C901 - a case a fact
    """Fold one fact."""
    if isinstance(fact, TaskSubmitted):
        return Task(
            task_id=fact.task_id,
            user_id=fact.user_id,
            task_type=fact.task_type,
            config=fact.config,
            price_fen_per_minute=fact.price_fen_per_minute,
            timeout_s=fact.timeout_s,
            estimated_duration_min=fact.estimated_duration_min,
        )
    assert task is not None, "a fact before the submission: the stream is corrupt"
    phase = next_phase(task.phase, fact)
    match fact:
        case TaskAssigned(server_id=server):
            return replace(task, phase=phase, server_id=server)
        case TaskStarted(started_at=at):
            return replace(task, phase=phase, started_at=at)
        case TaskProgressed(progress=progress):
            return replace(task, phase=phase, progress=progress)
        case TaskCancelRequested(reason=reason):
            return replace(task, phase=phase, cancel_reason=reason)
        case TaskCompleted():
            return replace(task, phase=phase, progress=100.0)
        case TaskFailed() | TaskCancelled() | TaskDeleted():
            return replace(task, phase=phase)
        case TaskRequeued(attempt=attempt, counted=counted):
            return replace(
                _waiting_again(task, attempt), phase=phase, lost=task.lost + int(counted)
            )
        case TaskRetried(attempt=attempt, price_fen_per_minute=price, timeout_s=timeout):
            again = _waiting_again(task, attempt)
            return replace(
                again, phase=phase, price_fen_per_minute=price, timeout_s=timeout, lost=0
            )
        case StaleReportRefused():
            return task
        case _:
            assert_never(fact)


def _waiting_again(task: Task, attempt: int) -> Task:
    return replace(
        task,
        attempt=attempt,
        progress=0.0,
        server_id=None,
        started_at=None,
        cancel_reason=None,
    )


TASK: Decider[Task | None] = Decider("task", None, evolve)


def existing(task: Task | None) -> Task:
    """The task, unless it never was or was deleted.

    Raises:
        NotFound: there is no such task to be seen.
    """
    if task is None or task.phase == "deleted":
        raise NotFound
    return task


def run_ms_of(task: Task, now: datetime) -> int:
    """How long the attempt has run by the platform's clock; 0 when it has not begun."""
    if task.started_at is None:
        return 0
    return max(0, round((now - task.started_at).total_seconds() * 1000))


def cost_of(task: Task, run_ms: int, reason: Reason | None = None) -> Fen:
    """What the seconds run cost; what is the platform's fault is free."""
    if reason is not None and FAULT[reason] == "platform":
        return 0
    return price_of(run_ms, price_fen_per_minute=task.price_fen_per_minute)
