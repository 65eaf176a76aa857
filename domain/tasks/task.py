"""The task aggregate: its state and how facts move it.

Decisions stand in the files beside: ``submission``, ``running``, ``fencing``, ``metering``,
``ending``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, assert_never
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
    TaskSubmittedInClear,
)
from domain.tasks.lifecycle import FAULT, Phase, next_phase

Outcome: TypeAlias = Literal["completed", "failed", "cancelled", "refused"]
"""How an agent says that an attempt ended."""

PAST_KEPT: Final = 8
"""Ended attempts that a task remembers, to know a repeated report from a strange one."""
REFUSALS_KEPT: Final = 32
"""Distinct stale reports that a task records; further ones are only answered."""


class Past(Struct, frozen=True):
    """An attempt that is over, as its agent reported it or would have."""

    attempt: int
    server_id: UUID | None
    outcome: Outcome


class Refusal(Struct, frozen=True):
    """A stale report that is on record."""

    attempt: int
    server_id: UUID
    report: str


class Task(Struct, frozen=True, kw_only=True):
    """What the stream says so far.

    ``cancel_reason`` and ``cancel_requested_at`` are set while cancelling. ``lost`` counts
    attempts that the platform lost, ``declined`` those in a row that never began.
    """

    task_id: UUID
    user_id: UUID
    task_type: str
    config: dict[str, Any]
    price_fen_per_minute: Fen
    timeout_s: int
    estimated_duration_min: int | None
    priority: int = 1
    phase: Phase = "pending"
    attempt: int = 1
    progress: float = 0.0
    server_id: UUID | None = None
    assigned_at: datetime | None = None
    started_at: datetime | None = None
    cancel_reason: Reason | None = None
    cancel_requested_at: datetime | None = None
    lost: int = 0
    declined: int = 0
    past: tuple[Past, ...] = ()
    refusals: frozenset[Refusal] = frozenset()


def evolve(task: Task | None, fact: TaskFact) -> Task:  # noqa: C901 - a case a fact
    """Fold one fact."""
    if isinstance(fact, TaskSubmitted | TaskSubmittedInClear):
        return Task(
            task_id=fact.task_id,
            user_id=fact.user_id,
            task_type=fact.task_type,
            config=fact.config,
            price_fen_per_minute=fact.price_fen_per_minute,
            timeout_s=fact.timeout_s,
            estimated_duration_min=fact.estimated_duration_min,
            priority=fact.priority,
        )
    assert task is not None, "a fact before the submission: the stream is corrupt"
    phase = next_phase(task.phase, fact)
    match fact:
        case TaskAssigned(server_id=server, assigned_at=at):
            return replace(task, phase=phase, server_id=server, assigned_at=at)
        case TaskStarted(started_at=at):
            return replace(task, phase=phase, started_at=at, declined=0)
        case TaskProgressed(progress=progress):
            return replace(task, phase=phase, progress=progress)
        case TaskCancelRequested(reason=reason, requested_at=at):
            return replace(task, phase=phase, cancel_reason=reason, cancel_requested_at=at)
        case TaskCompleted() | TaskFailed() | TaskCancelled():
            return replace(task, phase=phase, past=_with_past(task, _said_by(fact)))
        case TaskRequeued():
            return _requeued(task, fact, phase)
        case TaskRetried(attempt=attempt, price_fen_per_minute=price, timeout_s=timeout):
            again = _waiting_again(task, attempt)
            return replace(
                again,
                phase=phase,
                price_fen_per_minute=price,
                timeout_s=timeout,
                lost=0,
                declined=0,
            )
        case TaskDeleted():
            return replace(task, phase=phase)
        case StaleReportRefused(attempt=attempt, server_id=server, report=report):
            refusal = Refusal(attempt, server, report)
            return replace(task, refusals=task.refusals | {refusal})
        case _:
            assert_never(fact)


def _requeued(task: Task, fact: TaskRequeued, phase: Phase) -> Task:
    return replace(
        _waiting_again(task, fact.attempt),
        phase=phase,
        lost=task.lost + int(fact.counted),
        declined=task.declined + int(not fact.counted),
        past=_with_past(task, _said_by(fact)),
    )


def _waiting_again(task: Task, attempt: int) -> Task:
    return replace(
        task,
        attempt=attempt,
        progress=0.0,
        server_id=None,
        assigned_at=None,
        started_at=None,
        cancel_reason=None,
        cancel_requested_at=None,
    )


def _said_by(fact: TaskCompleted | TaskFailed | TaskCancelled | TaskRequeued) -> Outcome:
    """What an agent says that leads to this fact."""
    match fact:
        case TaskCompleted():
            return "completed"
        case TaskCancelled() | TaskFailed(reason="balance_exhausted"):
            return "cancelled"
        case TaskFailed(reason="agent_refused") | TaskRequeued(reason="agent_refused"):
            return "refused"
        case TaskFailed() | TaskRequeued():
            return "failed"
        case _:
            assert_never(fact)


def _with_past(task: Task, outcome: Outcome) -> tuple[Past, ...]:
    return (*task.past, Past(task.attempt, task.server_id, outcome))[-PAST_KEPT:]


TASK: Decider[Task | None] = Decider("task", None, evolve, TaskFact)


def existing(task: Task | None) -> Task:
    """The task, unless it never was or was deleted.

    Raises:
        NotFound: there is no such task to be seen.
    """
    if task is None or task.phase == "deleted":
        raise NotFound
    return task


def elapsed_ms(since: datetime | None, until: datetime) -> int:
    """Whole milliseconds from one time to the other; 0 when ``since`` is unknown or later."""
    if since is None:
        return 0
    return max(0, round((until - since).total_seconds() * 1000))


def run_ms_of(task: Task, now: datetime) -> int:
    """How long the attempt has run by the platform's clock; 0 when it has not begun."""
    return elapsed_ms(task.started_at, now)


def cost_of(task: Task, run_ms: int, reason: Reason | None = None) -> Fen:
    """What the seconds run cost; what is the platform's fault is free."""
    if reason is not None and FAULT[reason] == "platform":
        return 0
    return price_of(run_ms, price_fen_per_minute=task.price_fen_per_minute)


def most_of(*, price_fen_per_minute: Fen, timeout_s: int) -> Fen:
    """The most that an attempt may ever cost: its price for all the time that it may take."""
    return price_of(1000 * timeout_s, price_fen_per_minute=price_fen_per_minute)
