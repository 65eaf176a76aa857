"""Decisions that end an attempt: completed, failed, cancelled, lost; what it costs.

The seconds charged are those the agent measured, but never more than the platform saw pass
since it gave the attempt out: a lying clock cannot overcharge, and a late message that the
attempt began does not make it cheaper.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, TypeAlias, assert_never

from msgspec import Struct

from domain.money import Fen
from domain.tasks.events import (
    Artifact,
    Reason,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskRequeued,
)
from domain.tasks.task import Outcome, Task, cost_of, elapsed_ms

Ending: TypeAlias = TaskCompleted | TaskFailed | TaskCancelled

LOST: Final[frozenset[Reason]] = frozenset({"agent_lost", "gpu_error", "agent_refused"})
"""Failures after which the platform tries again at its own cost."""
CLAIMABLE: Final[frozenset[Reason]] = LOST | {
    "user_error",
    "timeout",
    "out_of_memory",
    "output_quota",
    "internal",
}
"""Reasons that an agent may give; the others are the platform's to say."""
DECLINES_UNCOUNTED: Final = 20
"""Attempts in a row that may be declined for nothing; after that they use up the budget, so
that a farm which refuses a task for ever does not fill the log."""


class Concluded(Struct, frozen=True, kw_only=True):
    """What an agent said about the end of an attempt; ``run_ms`` by its monotonic clock."""

    outcome: Outcome
    run_ms: int = 0
    reason: Reason | None = None
    error_message: str = ""
    result: dict[str, Any] = {}
    artifacts: tuple[Artifact, ...] = ()


def conclude(
    task: Task, said: Concluded, *, budget: int, limit_fen: Fen, now: datetime
) -> Ending | TaskRequeued:
    """What becomes of an attempt that its agent says is over.

    It costs at most ``limit_fen``, what is held for it. ``budget`` is how many attempts the
    platform may lose before it gives up.
    """
    match said.outcome:
        case "completed":
            return _completed(task, said, limit_fen=limit_fen, now=now)
        case "cancelled" if task.phase == "cancelling":
            return cancelled(task, run_ms=said.run_ms, now=now, limit_fen=limit_fen)
        case "cancelled":
            # nobody asked for it: the agent gave the attempt up
            return lose(task, reason="agent_lost", counted=True, budget=budget, now=now)
        case "refused":
            return _declined(task, budget=budget, now=now)
        case "failed":
            return _failed_there(task, said, budget=budget, limit_fen=limit_fen, now=now)
        case _:
            assert_never(said.outcome)


def lose(
    task: Task, *, reason: Reason, counted: bool, budget: int, now: datetime
) -> TaskRequeued | TaskFailed | TaskCancelled:
    """An attempt is gone through the platform's fault: wait again, or give up; free.

    ``counted`` is false when the attempt never began (the agent declined, or did not start in
    time): such a loss does not use up the ``budget``. What was being cancelled is cancelled.
    """
    assert task.server_id is not None, "only an assigned attempt can be lost"
    if task.phase == "cancelling":
        return cancelled(task, run_ms=0, now=now, limit_fen=0)
    counted = counted or task.declined >= DECLINES_UNCOUNTED
    if counted and task.lost + 1 > budget:
        said = Concluded(
            outcome="failed", error_message="the platform lost this task and does not try again"
        )
        return _failed(task, said, reason=reason, limit_fen=0, now=now)
    return TaskRequeued(
        task_id=task.task_id,
        user_id=task.user_id,
        attempt=task.attempt + 1,
        reason=reason,
        lost_server_id=task.server_id,
        counted=counted,
    )


def cancelled(
    task: Task, *, run_ms: int, now: datetime, limit_fen: Fen
) -> TaskCancelled | TaskFailed:
    """A cancellation came through.

    A task that was stopped because its user's money ran out has failed, not been cancelled.
    """
    reason = task.cancel_reason or "cancelled_by_user"
    if reason == "balance_exhausted":
        said = Concluded(
            outcome="failed", run_ms=run_ms, error_message="the balance was used up"
        )
        return _failed(task, said, reason=reason, limit_fen=limit_fen, now=now)
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


def overdue(task: Task, *, now: datetime, limit_fen: Fen) -> TaskCancelled | TaskFailed:
    """The agent did not confirm in time: charge until the wish to stop, not beyond it."""
    assert task.cancel_requested_at is not None
    run_ms = elapsed_ms(task.started_at, task.cancel_requested_at)
    return cancelled(task, run_ms=run_ms, now=now, limit_fen=limit_fen)


def overran(task: Task, *, now: datetime, limit_fen: Fen) -> TaskFailed:
    """The agent did not end it at its timeout: charge until then, not beyond it."""
    said = Concluded(
        outcome="failed",
        run_ms=min(1000 * task.timeout_s, elapsed_ms(task.started_at, now)),
        error_message="ran longer than its time, and its server did not end it",
    )
    return _failed(task, said, reason="timeout", limit_fen=limit_fen, now=now)


def charged_ms(task: Task, *, reported_ms: int, now: datetime) -> int:
    """The milliseconds to charge for; none when the attempt never began."""
    if task.started_at is None:
        return 0
    seen_ms = elapsed_ms(task.assigned_at or task.started_at, now)
    return min(max(0, reported_ms), seen_ms)


def _completed(task: Task, said: Concluded, *, limit_fen: Fen, now: datetime) -> TaskCompleted:
    assert task.server_id is not None, "only an assigned attempt can complete"
    charged = charged_ms(task, reported_ms=said.run_ms, now=now)
    return TaskCompleted(
        task_id=task.task_id,
        user_id=task.user_id,
        attempt=task.attempt,
        server_id=task.server_id,
        run_ms=charged,
        cost_fen=min(cost_of(task, charged), limit_fen),
        finished_at=now,
        result=said.result,
        artifacts=said.artifacts,
    )


def _declined(task: Task, *, budget: int, now: datetime) -> Ending | TaskRequeued:
    began = task.started_at is not None
    return lose(task, reason="agent_refused", counted=began, budget=budget, now=now)


def _failed_there(
    task: Task, said: Concluded, *, budget: int, limit_fen: Fen, now: datetime
) -> Ending | TaskRequeued:
    reason: Reason = said.reason if said.reason in CLAIMABLE else "internal"
    if reason == "agent_refused":
        return _declined(task, budget=budget, now=now)
    if reason in LOST:
        return lose(task, reason=reason, counted=True, budget=budget, now=now)
    return _failed(task, said, reason=reason, limit_fen=limit_fen, now=now)


def _failed(
    task: Task, said: Concluded, *, reason: Reason, limit_fen: Fen, now: datetime
) -> TaskFailed:
    charged = charged_ms(task, reported_ms=said.run_ms, now=now)
    return TaskFailed(
        task_id=task.task_id,
        user_id=task.user_id,
        attempt=task.attempt,
        reason=reason,
        run_ms=charged,
        cost_fen=min(cost_of(task, charged, reason), limit_fen),
        finished_at=now,
        server_id=task.server_id,
        error_message=said.error_message,
    )
