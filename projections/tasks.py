"""Tasks: each as it is now, with its attempts; and counts by user, status and type.

A deleted task keeps its row (its money and totals stay); the queries hide it.

Long because the fingerprint of a read model is that of one file: its row and all its folds.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.envelope import Told
from domain.money import Fen, price_of
from domain.tasks.events import (
    Artifact,
    Reason,
    TaskAssigned,
    TaskCancelled,
    TaskCancelRequested,
    TaskCompleted,
    TaskDeleted,
    TaskFailed,
    TaskProgressed,
    TaskRequeued,
    TaskRetried,
    TaskStarted,
    TaskSubmitted,
    TaskSubmittedInClear,
)
from domain.tasks.lifecycle import STATUS, Phase, Status, next_phase
from domain.wallet.events import HoldExtended
from projections.read_model import ReadModel, Table, Tally, first, on

ATTEMPTS_KEPT = 50
"""Of a task that agents decline again and again, the newest attempts are shown."""


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One try on one server; ``outcome`` is ``None`` while it lasts."""

    attempt: int
    server_id: UUID
    assigned_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: Literal["completed", "failed", "cancelled", "requeued"] | None = None
    reason: Reason | None = None
    error_message: str = ""
    run_ms: int = 0
    cost_fen: Fen = 0


class ListedTask(Struct, frozen=True, kw_only=True, gc=False):
    """What a list shows of a task, which leaves out all that may be long.

    ``title`` and ``description`` are sealed for its user; whoever shows them opens them.
    ``cost_fen`` is what its ended attempts cost; see ``cost_at``.
    """

    task_id: UUID
    user_id: UUID
    title: str
    description: str
    task_type: str
    priority: int
    estimated_duration_min: int | None
    price_fen_per_minute: Fen
    hold_fen: Fen
    status: Status = "pending"
    phase: Phase = "pending"
    reason: Reason | None = None
    progress: float = 0.0
    attempt: int = 1
    server_id: UUID | None = None
    cost_fen: Fen = 0
    error_message: str = ""
    started_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    completed_at: datetime | None = None
    created_at: datetime
    updated_at: datetime

    def cost_at(self, now: datetime) -> Fen:
        """What it has cost by ``now``: live, within the hold, not past the wish to cancel."""
        if self.status != "running" or self.started_at is None:
            return self.cost_fen
        until = min(now, self.cancel_requested_at or now)
        run_ms = max(0, round((until - self.started_at).total_seconds() * 1000))
        accrued = price_of(run_ms, price_fen_per_minute=self.price_fen_per_minute)
        return self.cost_fen + min(accrued, self.hold_fen)


class TaskRow(ListedTask, frozen=True, kw_only=True, gc=False):
    """All of one task."""

    config: dict[str, Any]
    timeout_s: int
    attempts: tuple[Attempt, ...] = ()
    gpu_uuids: tuple[str, ...] = ()
    result: dict[str, Any] = {}
    artifacts: tuple[Artifact, ...] = ()
    queued_at: datetime
    deleted_at: datetime | None = None


def _submitted(event: Told[TaskSubmitted] | Told[TaskSubmittedInClear]) -> TaskRow:
    fact, at = event.fact, event.recorded_at
    return TaskRow(
        task_id=fact.task_id,
        user_id=fact.user_id,
        title=fact.title,
        description=fact.description,
        task_type=fact.task_type,
        priority=fact.priority,
        estimated_duration_min=fact.estimated_duration_min,
        config=fact.config,
        price_fen_per_minute=fact.price_fen_per_minute,
        hold_fen=fact.hold_fen,
        timeout_s=fact.timeout_s,
        queued_at=at,
        created_at=at,
        updated_at=at,
    )


def _now_trying(row: TaskRow, **changes: Any) -> tuple[Attempt, ...]:
    """The attempts with the newest one changed; a task that never got a server has none."""
    attempts = row.attempts
    if not attempts or attempts[-1].attempt != row.attempt:
        return attempts
    newest = replace(attempts[-1], **changes)
    return (newest,) if len(attempts) == 1 else (*attempts[:-1], newest)


# Each fold says itself where its fact leads (the table of moves is the domain's) and calls
# ``replace`` itself: a way through a function in common costs as much as all the rest of it.


def _assigned(row: TaskRow, event: Told[TaskAssigned]) -> TaskRow:
    fact, at = event.fact, event.recorded_at
    phase = next_phase(row.phase, fact)
    attempt = Attempt(attempt=fact.attempt, server_id=fact.server_id, assigned_at=at)
    return replace(
        row,
        phase=phase,
        status=STATUS[phase],
        server_id=fact.server_id,
        gpu_uuids=fact.gpu_uuids,
        attempts=(*row.attempts, attempt)[-ATTEMPTS_KEPT:] if row.attempts else (attempt,),
        updated_at=at,
    )


def _started(row: TaskRow, event: Told[TaskStarted]) -> TaskRow:
    phase, at = next_phase(row.phase, event.fact), event.fact.started_at
    return replace(
        row,
        phase=phase,
        status=STATUS[phase],
        started_at=at,
        attempts=_now_trying(row, started_at=at),
        updated_at=event.recorded_at,
    )


def _progressed(row: TaskRow, event: Told[TaskProgressed]) -> TaskRow:
    phase = next_phase(row.phase, event.fact)
    return replace(
        row,
        phase=phase,
        status=STATUS[phase],
        progress=event.fact.progress,
        updated_at=event.recorded_at,
    )


def _cancel_requested(row: TaskRow, event: Told[TaskCancelRequested]) -> TaskRow:
    fact = event.fact
    phase = next_phase(row.phase, fact)
    return replace(
        row,
        phase=phase,
        status=STATUS[phase],
        reason=fact.reason,
        cancel_requested_at=fact.requested_at,
        updated_at=event.recorded_at,
    )


def _completed(row: TaskRow, event: Told[TaskCompleted]) -> TaskRow:
    fact = event.fact
    phase = next_phase(row.phase, fact)
    return replace(
        row,
        phase=phase,
        status=STATUS[phase],
        reason=None,
        progress=100.0,
        hold_fen=0,
        cost_fen=row.cost_fen + fact.cost_fen,
        result=fact.result,
        artifacts=fact.artifacts,
        completed_at=fact.finished_at,
        attempts=_now_trying(
            row,
            outcome="completed",
            ended_at=fact.finished_at,
            run_ms=fact.run_ms,
            cost_fen=fact.cost_fen,
        ),
        updated_at=event.recorded_at,
    )


def _stopped(row: TaskRow, event: Told[TaskFailed] | Told[TaskCancelled]) -> TaskRow:
    fact = event.fact
    phase = next_phase(row.phase, fact)
    message = fact.error_message if isinstance(fact, TaskFailed) else ""
    return replace(
        row,
        phase=phase,
        status=STATUS[phase],
        reason=fact.reason,
        error_message=message,
        hold_fen=0,
        cost_fen=row.cost_fen + fact.cost_fen,
        completed_at=fact.finished_at,
        attempts=_now_trying(
            row,
            outcome="failed" if isinstance(fact, TaskFailed) else "cancelled",
            reason=fact.reason,
            error_message=message,
            ended_at=fact.finished_at,
            run_ms=fact.run_ms,
            cost_fen=fact.cost_fen,
        ),
        updated_at=event.recorded_at,
    )


def _waiting_again(row: TaskRow, event: Told[Any], **changes: Any) -> TaskRow:
    phase, at = next_phase(row.phase, event.fact), event.recorded_at
    return replace(
        row,
        phase=phase,
        status=STATUS[phase],
        attempt=event.fact.attempt,
        reason=None,
        error_message="",
        progress=0.0,
        server_id=None,
        gpu_uuids=(),
        started_at=None,
        cancel_requested_at=None,
        completed_at=None,
        queued_at=at,
        updated_at=at,
        **changes,
    )


def _requeued(row: TaskRow, event: Told[TaskRequeued]) -> TaskRow:
    lost = _now_trying(
        row, outcome="requeued", reason=event.fact.reason, ended_at=event.recorded_at
    )
    return _waiting_again(row, event, attempts=lost)


def _retried(row: TaskRow, event: Told[TaskRetried]) -> TaskRow:
    fact = event.fact
    return _waiting_again(
        row,
        event,
        price_fen_per_minute=fact.price_fen_per_minute,
        hold_fen=fact.hold_fen,
        timeout_s=fact.timeout_s,
        result={},
        artifacts=(),
    )


def _deleted(row: TaskRow, event: Told[TaskDeleted]) -> TaskRow:
    at = event.recorded_at  # and it keeps the status that it had
    return replace(row, phase=next_phase(row.phase, event.fact), deleted_at=at, updated_at=at)


def _hold_extended(row: TaskRow, event: Told[HoldExtended]) -> TaskRow:
    return replace(row, hold_fen=row.hold_fen + event.fact.amount_fen)


_TABLE: Final = Table(
    name="tasks",
    row=TaskRow,
    key=("task_id",),
    folds=(
        first(TaskSubmitted, _submitted),
        first(TaskSubmittedInClear, _submitted),
        on(TaskAssigned, _assigned),
        on(TaskStarted, _started),
        on(TaskProgressed, _progressed),
        on(TaskCancelRequested, _cancel_requested),
        on(TaskCompleted, _completed),
        on(TaskFailed, _stopped),
        on(TaskCancelled, _stopped),
        on(TaskRequeued, _requeued),
        on(TaskRetried, _retried),
        on(TaskDeleted, _deleted),
        on(HoldExtended, _hold_extended),
    ),
)

TASKS: Final = ReadModel(
    name="tasks",
    ddl=Path(__file__).with_suffix(".sql"),
    tables=(_TABLE,),
    tallies=(
        Tally(
            name="task_counts",
            of=_TABLE,
            columns=("user_id", "status", "task_type", "is_deleted"),
            group=lambda row: (
                row.user_id.int,
                row.status,
                row.task_type,
                bool(row.deleted_at),
            ),
        ),
        Tally(
            name="task_totals",
            of=_TABLE,
            columns=("status", "task_type", "is_deleted"),
            group=lambda row: (row.status, row.task_type, bool(row.deleted_at)),
        ),
    ),
)
